"""API keys: `<state>/keys.json` holds their SHA-256, never the keys.

A key is ``lk_<id>_<secret>`` with 256 random bits of secret, so a plain hash is enough (no dictionary to try) and
cheap to check on every request. The id names the key in lists; the whole key is compared, in constant time.
"""

import fcntl
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from runtime.atomic import write_atomic
from service.settings import SettingsError

Scope = Literal["sample", "train", "admin"]
"""`sample`: draw images; `train`: files and jobs; `admin`: change what is served. Reading needs a key without scope."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
DRAWING: tuple[Scope, ...] = ("sample",)
"""What a key may do where nothing else is said."""


class StoredKey(BaseModel):
    """One entry of `keys.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    id: str
    name: str
    sha256: str
    created: AwareDatetime
    scopes: tuple[Scope, ...] = DRAWING
    expires: AwareDatetime | None = None
    images_per_second: float | None = Field(default=None, gt=0, description="null: the server's limit")
    concurrent_requests: int | None = Field(default=None, ge=1, description="null: the server's limit")

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= datetime.now(UTC)


_KEYS = TypeAdapter(list[StoredKey])


class KeyFile:
    """The keys of one state folder. A running server sees changes at once."""

    def __init__(self, state: Path, *, look_every_s: float = 0.0) -> None:
        """`look_every_s`: how long the very first key may go unnoticed; until then looks are for nothing."""
        self._look_every_s = look_every_s
        self._look_at = 0.0  # on the clock of `time.monotonic`
        self.path = state / "keys.json"
        self._read_at: tuple[int, int] | None = None
        self._keys: list[StoredKey] = []
        self.ever_held = False
        """This process has seen a key: from then on calls need one, so that revoking the last opens nothing."""

    @property
    def needed(self) -> bool:
        """Whether a call needs a key."""
        return bool(self.all()) or self.ever_held

    def all(self) -> list[StoredKey]:
        """All keys; the file is read again when it has changed.

        Raises:
            SettingsError: it is not a file of keys.
        """
        if not self.ever_held and self._look_every_s:
            now = time.monotonic()
            if now < self._look_at:
                return []
            self._look_at = now + self._look_every_s
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return []
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._read_at:
            try:
                self._keys = _KEYS.validate_json(self.path.read_bytes())
            except (OSError, ValueError) as error:
                raise SettingsError(f"key file {self.path} cannot be read: {type(error).__name__}") from error
            self._read_at = stamp
            self.ever_held = self.ever_held or bool(self._keys)
        return self._keys

    def create(
        self,
        name: str,
        *,
        scopes: Collection[Scope] = DRAWING,
        expires: datetime | None = None,
        images_per_second: float | None = None,
        concurrent_requests: int | None = None,
    ) -> str:
        """Make a key and return it: the only time that it can be seen.

        Args:
            scopes: what its holder may do; reading what is served needs none.
            expires: refused from then on.
            images_per_second: its own limit instead of the server's.
            concurrent_requests: likewise.
        """
        key_id = secrets.token_hex(4)
        key = f"lk_{key_id}_{secrets.token_urlsafe(32)}"
        stored = StoredKey(
            id=key_id,
            name=name,
            sha256=_hash(key),
            created=datetime.now(UTC).replace(microsecond=0),
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            expires=expires,
            images_per_second=images_per_second,
            concurrent_requests=concurrent_requests,
        )
        with self._locked():
            self._write([*self.all(), stored])
        return key

    def revoke(self, key_id: str) -> bool:
        """Remove the key with this id; False where there is none."""
        with self._locked():
            keys = self.all()
            remaining = [key for key in keys if key.id != key_id]
            if len(remaining) == len(keys):
                return False
            self._write(remaining)
        return True

    def find(self, presented: str) -> StoredKey | None:
        """The stored key that `presented` is; every stored key is compared, each in constant time."""
        digest = _hash(presented)
        found = None
        for key in self.all():
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Writers take turns, so that none overwrites what another has just added."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(".keys.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._read_at = None  # two writes within one tick of the clock would look like one
            yield

    def _write(self, keys: list[StoredKey]) -> None:
        content = json.dumps([key.model_dump(mode="json") for key in keys], indent=2) + "\n"
        write_atomic(self.path, content.encode(), mode=0o600)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
