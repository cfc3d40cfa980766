"""Who may call: without any key the server is open, which it only is on loopback; with keys every call needs one."""

import ipaddress

from service.errors import Unauthenticated
from service.keys import KeyFile, StoredKey
from service.settings import Settings, SettingsError


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


def is_loopback(host: str) -> bool:
    """Whether `host` is ``localhost`` or an address in 127.0.0.0/8 or ::1."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def authenticate(authorization: str | None, keys: KeyFile) -> StoredKey | None:
    """Check an ``Authorization: Bearer`` value (RFC 6750) and tell whose key it is.

    While no key has existed any caller passes, with None.

    Raises:
        Unauthenticated: a key is needed and this is none.
    """
    if not keys.all() and not keys.ever_held:
        return None
    scheme, _, key = (authorization or "").partition(" ")
    if not authorization:
        raise Unauthenticated("authorization: got nothing; allowed: 'Bearer KEY' with a key of this server")
    found = keys.find(key.strip()) if scheme.lower() == "bearer" else None
    if found is None:
        raise Unauthenticated("authorization: this key is not valid; allowed: 'Bearer KEY' with a key of this server")
    return found
