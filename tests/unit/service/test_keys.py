"""Keys are shown once, stored as hashes, and changes are seen by a running server."""

import json
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
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
    assert key.split("_", 2)[2] not in content
    assert set(json.loads(content)[0]) == {
        *("id", "name", "sha256", "created", "scopes", "expires", "images_per_second", "concurrent_requests")
    }
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


def test_the_first_key_is_noticed_within_the_time_and_every_later_change_at_once(state: Path) -> None:
    server, operator = KeyFile(state, look_every_s=0.05), KeyFile(state)
    assert not server.needed
    key = operator.create("dashboard")
    begun = time.monotonic()
    while not server.needed:
        assert time.monotonic() < begun + 0.5
    found, other = server.find(key), server.find(operator.create("other"))
    assert found is not None
    assert other is not None
    operator.revoke(found.id)
    assert server.find(key) is None
    operator.revoke(other.id)
    assert server.needed


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


def test_scopes_limits_and_expiry_are_kept(state: Path) -> None:
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    keys = KeyFile(state)
    key = keys.create("a", scopes=["admin", "sample"], expires=soon, images_per_second=2.5, concurrent_requests=3)
    found = KeyFile(state).find(key)
    assert found is not None
    assert (found.scopes, found.expires, found.expired) == (("sample", "admin"), soon, False)
    assert (found.images_per_second, found.concurrent_requests) == (2.5, 3)


def test_a_key_of_an_earlier_file_may_sample_and_never_expires(state: Path) -> None:
    keys = KeyFile(state)
    key = keys.create("a", scopes=["admin"])
    (entry,) = json.loads(keys.path.read_text())
    keys.path.write_text(json.dumps([{name: entry[name] for name in ("id", "name", "sha256", "created")}]))
    found = KeyFile(state).find(key)
    assert found is not None
    assert (found.scopes, found.expired) == (("sample",), False)


def test_a_key_whose_time_is_over_is_still_known_and_marked(state: Path) -> None:
    keys = KeyFile(state)
    found = keys.find(keys.create("a", expires=datetime.now(UTC) - timedelta(seconds=1)))
    assert found is not None
    assert found.expired


def test_keys_that_are_made_at_the_same_time_are_all_kept(state: Path) -> None:
    """Two processes write the one file as fast as they can."""
    code = "import sys; from pathlib import Path; from service.keys import KeyFile\n"
    code += "keys = KeyFile(Path(sys.argv[1]))\nfor _ in range(20): print(keys.create('a'))"
    writers = [
        subprocess.Popen([sys.executable, "-c", code, state], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    made = [key for writer in writers for key in writer.communicate()[0].split()]
    assert [writer.returncode for writer in writers] == [0, 0]
    keys = KeyFile(state)
    assert len(made) == len(keys.all()) == 40
    assert all(keys.find(key) for key in made)
