"""Keys are shown once, stored as hashes, and changes are seen by a running server."""

import json
import stat
from pathlib import Path

from service.keys import KeyFile


def test_a_key_is_found_by_its_whole_text_only(state: Path) -> None:
    keys = KeyFile(state)
    key = keys.create("dashboard")
    found = keys.find(key)
    assert found is not None
    assert found.name == "dashboard"
    assert key.startswith(f"lk_{found.id}_")
    for other in ("", "lk_", found.id, key[:-1], key + "x", key.upper(), found.sha256, "\udcff", "ключ"):
        assert keys.find(other) is None


def test_the_file_holds_hashes_and_is_for_its_owner_only(state: Path) -> None:
    keys = KeyFile(state)
    key = keys.create("dashboard")
    content = keys.path.read_text()
    assert key not in content
    assert key.rsplit("_", 1)[-1] not in content
    assert set(json.loads(content)[0]) == {"id", "name", "sha256", "created"}
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600


def test_two_keys_of_one_name_are_two_keys(state: Path) -> None:
    keys = KeyFile(state)
    first, second = keys.create("a"), keys.create("a")
    assert first != second
    assert len({key.id for key in keys.all()}) == 2


def test_creation_and_revocation_are_seen_by_a_running_server(state: Path) -> None:
    server, operator = KeyFile(state), KeyFile(state)
    assert server.all() == []
    key = operator.create("dashboard")
    found = server.find(key)
    assert found is not None
    kept = operator.create("other")
    assert operator.revoke(found.id)
    assert server.find(key) is None
    assert server.find(kept) is not None


def test_revoking_an_unknown_key_changes_nothing(state: Path) -> None:
    keys = KeyFile(state)
    assert not keys.revoke("00000000")
    key = keys.create("a")
    assert not keys.revoke("00000000")
    assert keys.find(key) is not None


def test_the_file_is_not_read_again_while_it_stays_the_same(state: Path) -> None:
    keys = KeyFile(state)
    keys.create("a")
    assert keys.all() is keys.all()
