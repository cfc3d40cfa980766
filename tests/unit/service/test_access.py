"""Who may call, and where the server may listen."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.access import ANYBODY, Need, admit, authenticate, check_exposure, is_loopback
from service.errors import PermissionDenied, Unauthenticated
from service.keys import KeyFile
from service.settings import Settings, SettingsError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_key(host: str, state: Path) -> None:
    assert is_loopback(host)
    check_exposure(Settings(host=host, state=state), KeyFile(state))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "", "127.0.0.1.example.org"])
def test_any_other_address_needs_a_key_and_the_refusal_says_what_to_do(host: str, state: Path) -> None:
    assert not is_loopback(host)
    settings = Settings(host=host, state=state)
    with pytest.raises(SettingsError) as refusal:
        check_exposure(settings, KeyFile(state))
    assert f"host {host} is reachable" in str(refusal.value)
    assert f"`latentd keys create NAME --state {state}`" in str(refusal.value)
    assert "`--host 127.0.0.1`" in str(refusal.value)
    KeyFile(state).create("a")
    check_exposure(settings, KeyFile(state))


def test_without_a_key_everybody_may_call(state: Path) -> None:
    authenticate(None, KeyFile(state))
    authenticate("Bearer anything", KeyFile(state))


def test_with_a_key_only_its_holder_may(state: Path) -> None:
    keys = KeyFile(state)
    key = keys.create("a")
    authenticate(f"Bearer {key}", keys)
    authenticate(f"bearer  {key} ", keys)


@pytest.mark.parametrize("authorization", ["Bearer", "Bearer ", "Bearer nonsense", "Basic {}", "{}", "Bearer{}"])
def test_anything_else_is_refused_without_repeating_it(authorization: str, state: Path) -> None:
    keys = KeyFile(state)
    key = keys.create("a")
    with pytest.raises(Unauthenticated) as refusal:
        authenticate(authorization.format(key), keys)
    assert "allowed: 'Bearer KEY' with a key of this server" in refusal.value.message
    assert key not in refusal.value.message


@pytest.mark.parametrize("authorization", [None, ""])
def test_nothing_at_all_is_told_apart_from_a_wrong_key(authorization: str | None, state: Path) -> None:
    keys = KeyFile(state)
    keys.create("a")
    with pytest.raises(Unauthenticated, match="authorization: got nothing"):
        authenticate(authorization, keys)


def test_a_revoked_key_is_refused_at_once(state: Path) -> None:
    server, operator = KeyFile(state), KeyFile(state)
    key, kept = operator.create("a"), operator.create("b")
    authenticate(f"Bearer {key}", server)
    operator.revoke(operator.all()[0].id)
    with pytest.raises(Unauthenticated):
        authenticate(f"Bearer {key}", server)
    authenticate(f"Bearer {kept}", server)


def test_revoking_the_last_key_or_losing_the_file_does_not_open_a_running_server(state: Path) -> None:
    server, operator = KeyFile(state), KeyFile(state)
    key = operator.create("a")
    check_exposure(Settings(host="0.0.0.0", state=state), server)
    operator.revoke(operator.all()[0].id)
    for authorization in (None, "Bearer x", f"Bearer {key}"):
        with pytest.raises(Unauthenticated):
            authenticate(authorization, server)
    operator.path.unlink()
    with pytest.raises(Unauthenticated):
        authenticate(None, server)
    new = operator.create("b")
    authenticate(f"Bearer {new}", server)


def test_a_caller_has_what_its_key_has(state: Path) -> None:
    keys = KeyFile(state)
    key = keys.create("a", scopes=["train"], images_per_second=5, concurrent_requests=2)
    caller = authenticate(f"Bearer {key}", keys)
    assert caller.key_id == keys.all()[0].id
    assert (caller.scopes, caller.images_per_second, caller.concurrent_requests) == (("train",), 5, 2)


def test_an_expired_key_is_refused_and_told_so(state: Path) -> None:
    keys = KeyFile(state)
    key = keys.create("a", expires=datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC))
    with pytest.raises(Unauthenticated, match=r"this key expired at 2020-01-02T03:04:05Z"):
        authenticate(f"Bearer {key}", keys)
    kept = keys.create("b", expires=datetime.now(UTC) + timedelta(minutes=1))
    authenticate(f"Bearer {kept}", keys)


@pytest.mark.parametrize("need", ["sample", "train", "admin"])
def test_a_scope_is_needed_by_itself_and_reading_needs_none(need: Need, state: Path) -> None:
    keys = KeyFile(state)
    for scope in ("sample", "train", "admin"):
        bearer = f"Bearer {keys.create('a', scopes=[scope])}"
        assert admit(bearer, "key", keys).scopes == (scope,)
        if scope == need:
            admit(bearer, need, keys)
        else:
            with pytest.raises(PermissionDenied, match=f"has the scopes {scope}; allowed: a key with scope {need}"):
                admit(bearer, need, keys)


def test_health_needs_nothing_and_without_keys_nothing_does(state: Path) -> None:
    keys = KeyFile(state)
    assert admit(None, "admin", keys) is ANYBODY
    keys.create("a")
    assert admit(None, "nothing", keys) is ANYBODY
