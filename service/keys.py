"""API keys: `<state>/keys.json` holds their SHA-256, never the keys.

A key is ``lk_<id>_<secret>`` with 256 random bits of secret, so a plain hash is enough (no dictionary to try) and
cheap to check on every request. The id names the key in lists; the whole key is compared, in constant time.
"""

import hashlib
import hmac
import json
import secrets
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from runtime.atomic import write_atomic
from service.settings import SettingsError


class StoredKey(BaseModel):
    """One entry of `keys.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    name: str
    sha256: str
    created: datetime


_KEYS = TypeAdapter(list[StoredKey])


class KeyFile:
    """The keys of one state folder. A running server sees changes at once."""

    def __init__(self, state: Path) -> None:
        self.path = state / "keys.json"
        self._read_at: tuple[int, int] | None = None
        self._keys: list[StoredKey] = []
        self.ever_held = False
        """This process has seen a key: from then on calls need one, so that revoking the last opens nothing."""

    def all(self) -> list[StoredKey]:
        """All keys; the file is read again when it has changed.

        Raises:
            SettingsError: it is not a file of keys.
        """
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

    def create(self, name: str) -> str:
        """Make a key and return it: the only time that it can be seen."""
        key_id = secrets.token_hex(4)
        key = f"lk_{key_id}_{secrets.token_urlsafe(32)}"
        stored = StoredKey(id=key_id, name=name, sha256=_hash(key), created=datetime.now(UTC).replace(microsecond=0))
        self._write([*self.all(), stored])
        return key

    def revoke(self, key_id: str) -> bool:
        """Remove the key with this id; False where there is none."""
        remaining = [key for key in self.all() if key.id != key_id]
        if len(remaining) == len(self.all()):
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

    def _write(self, keys: list[StoredKey]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps([key.model_dump(mode="json") for key in keys], indent=2) + "\n"
        write_atomic(self.path, content.encode(), mode=0o600)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
