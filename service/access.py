"""Who may call: without any key the server is open, which it only is on loopback; with keys every call needs one.

A transport authenticates a call, checks the scope that its own table asks for, and then works for the caller found:
`act_for` makes it `current_caller()` for whatever runs on behalf of the call.
"""

import ipaddress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from service.errors import PermissionDenied, Unauthenticated
from service.keys import SCOPES, KeyFile, Scope
from service.settings import Settings, SettingsError

Need = Scope | Literal["nothing", "key"]
"""What a call needs: a key with a scope, any valid key, or nothing at all (health)."""


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a call is made.

    Attributes:
        key_id: empty where the server asks for no key.
        images_per_second: the key's own limit; None: the server's.
        concurrent_requests: likewise.
    """

    key_id: str
    scopes: tuple[Scope, ...]
    images_per_second: float | None = None
    concurrent_requests: int | None = None


ANYBODY = Caller("", SCOPES)
"""The caller of a server without keys."""

_current: ContextVar[Caller] = ContextVar("caller", default=ANYBODY)


def current_caller() -> Caller:
    """The caller that the running task works for."""
    return _current.get()


def act_for(caller: Caller) -> None:
    """Make `caller` the current one of the running task and of those that it starts; every request is a task."""
    _current.set(caller)


def check_exposure(settings: Settings, keys: KeyFile) -> None:
    """Refuse to listen beyond loopback without a key.

    Raises:
        SettingsError: saying what to do; or the key file is broken.
    """
    if not keys.all() and not is_loopback(settings.host):
        raise SettingsError(
            f"host {settings.host} is reachable from other machines and there is no API key. "
            f"Create one with `latentd keys create NAME --state {settings.state}`, "
            "or listen on this machine only with `--host 127.0.0.1`"
        )


@lru_cache(64)
def is_loopback(host: str) -> bool:
    """Whether `host` is ``localhost`` or an address in 127.0.0.0/8 or ::1."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def admit(authorization: str | None, need: Need, keys: KeyFile) -> Caller:
    """The caller with this ``Authorization`` value, once it is certain that it may do what `need` is needed for.

    Raises:
        Unauthenticated: a key is needed and this is none.
        PermissionDenied: its scopes do not include `need`.
    """
    if need == "nothing":
        return ANYBODY
    caller = authenticate(authorization, keys)
    if need != "key" and need not in caller.scopes:
        raise PermissionDenied(
            f"authorization: this key has the scopes {', '.join(caller.scopes) or 'none'}; allowed: a key with scope "
            f"{need} (latentd keys create NAME --scope {need})"
        )
    return caller


def authenticate(authorization: str | None, keys: KeyFile) -> Caller:
    """Check an ``Authorization: Bearer`` value (RFC 6750); any caller passes while no key has existed.

    Raises:
        Unauthenticated: a key is needed and this is none.
    """
    if not keys.needed:
        return ANYBODY
    scheme, _, key = (authorization or "").partition(" ")
    if not authorization:
        raise Unauthenticated("authorization: got nothing; allowed: 'Bearer KEY' with a key of this server")
    found = keys.find(key.strip()) if scheme.lower() == "bearer" else None
    if found is None:
        raise Unauthenticated("authorization: this key is not valid; allowed: 'Bearer KEY' with a key of this server")
    if found.expired:
        raise Unauthenticated(f"authorization: this key expired at {found.expires:%Y-%m-%dT%H:%M:%SZ}; ask for another")
    return Caller(found.id, found.scopes, found.images_per_second, found.concurrent_requests)
