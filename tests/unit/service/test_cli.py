"""`latentd serve` and `latentd keys` as a person at a terminal meets them."""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from service.cli import keys, serve
from service.keys import KeyFile
from service.settings import Settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LATENTD_")]:
        monkeypatch.delenv(name)


def run(command: click.Command, *args: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(command, args, env=env, catch_exceptions=False)


def test_help_lists_every_setting_with_its_default() -> None:
    text = " ".join(run(serve, "--help").output.split())
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} VALUE" in text
        assert " ".join((field.description or "?").split()) in text
        if field.default_factory is None and field.default is not None:
            assert f"[default: {field.default}]" in text
        else:
            assert "by default" in (field.description or ""), f"{name} says nowhere what its default is"
    assert "LATENTD_HTTP_PORT=9000 latentd serve" in text


@pytest.mark.parametrize(
    ("args", "env", "message"),
    [
        (["--http-port", "x"], {}, "setting http_port (flag)"),
        ([], {"LATENTD_HTTP_PRT": "1"}, "unknown setting LATENTD_HTTP_PRT (environment): did you mean http_port?"),
        (["--config", "absent.toml"], {}, "config file absent.toml cannot be read"),
        ([], {"LATENTD_CONFIG": "absent.toml"}, "config file absent.toml cannot be read"),
        (["--host", "0.0.0.0"], {}, "there is no API key. Create one with `latentd keys create NAME --state"),
    ],
)
def test_serve_refuses_to_start_with_one_line(
    args: list[str], env: dict[str, str], message: str, tmp_path: Path
) -> None:
    result = run(serve, "--state", str(tmp_path / "state"), *args, env=env)
    assert result.exit_code == 1
    assert message in result.output
    assert result.output.startswith("Error: ")
    assert len(result.output.splitlines()) == 1


def test_serve_says_that_the_state_folder_is_a_file(tmp_path: Path) -> None:
    taken = tmp_path / "state"
    taken.write_text("a file")
    result = run(serve, "--state", str(taken))
    assert result.exit_code == 1
    assert f"setting state: {taken} cannot be made: File exists" in result.output


def test_a_broken_key_file_is_named_by_every_command_that_reads_it(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("[{]")
    for command, args in ((serve, []), (keys, ["list"]), (keys, ["create", "a"]), (keys, ["revoke", "a"])):
        result = run(command, *args, "--state", str(tmp_path))
        assert result.exit_code == 1
        assert f"key file {tmp_path / 'keys.json'} cannot be read" in result.output
        assert len(result.output.splitlines()) == 1


def test_keys_are_created_listed_and_revoked(state: Path) -> None:
    assert run(keys, "list", "--state", str(state)).output == ""
    created = run(keys, "create", "dashboard", "--state", str(state))
    key = created.output.strip()
    assert created.exit_code == 0
    found = KeyFile(state).find(key)
    assert found is not None

    listed = run(keys, "list", "--state", str(state)).output
    assert listed.startswith(f"{found.id}  20")
    assert listed.endswith("Z  sample  dashboard\n")
    assert key not in listed

    revoked = run(keys, "revoke", found.id, "--state", str(state))
    assert (revoked.exit_code, revoked.output) == (0, f"revoked {found.id}\n")
    assert KeyFile(state).find(key) is None


def test_revoking_an_unknown_key_says_how_to_see_all(state: Path) -> None:
    result = run(keys, "revoke", "nope", "--state", str(state))
    assert result.exit_code == 1
    assert f"no key 'nope' in {state}; `latentd keys list --state {state}` shows all" in result.output


def test_a_key_gets_its_scopes_its_limits_and_its_end(state: Path) -> None:
    args = ["create", "nightly", "--state", str(state), "--scope", "train", "--scope", "sample"]
    args += ["--expires", "90d", "--images-per-second", "2.5", "--concurrent-requests", "4"]
    key = KeyFile(state).find(run(keys, *args).output.strip())
    assert key is not None
    assert (key.scopes, key.images_per_second, key.concurrent_requests) == (("sample", "train"), 2.5, 4)
    assert key.expires is not None
    assert timedelta(days=89, hours=23) < key.expires - datetime.now(UTC) <= timedelta(days=90)
    listed = run(keys, "list", "--state", str(state)).output
    assert f"sample,train  2.5 images/s  4 at once  expires {key.expires:%Y-%m-%d}" in listed


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--expires", "soon"], "'soon' is no duration; allowed: a number and m, h, d or w"),
        (["--scope", "root"], "'root' is not one of 'sample', 'train', 'admin'"),
        (["--images-per-second", "0"], "0"),
    ],
)
def test_a_wrong_right_is_refused_before_a_key_is_made(args: list[str], words: str, state: Path) -> None:
    result = run(keys, "create", "a", "--state", str(state), *args)
    assert result.exit_code == 2
    assert words in result.output
    assert not state.exists()


def test_a_key_is_not_made_twice_for_a_set_up_that_starts_again(tmp_path: Path) -> None:
    runner = CliRunner()
    arguments = ["create", "compose", "--state", str(tmp_path), "--unless-any"]
    first = runner.invoke(keys, arguments)
    assert first.stdout.startswith("lk_")
    second = runner.invoke(keys, arguments)
    assert (second.exit_code, second.stdout) == (0, "")
    assert len(KeyFile(tmp_path).all()) == 1


def test_a_key_for_another_program_goes_into_a_file_and_is_made_once(state: Path, tmp_path: Path) -> None:
    out = tmp_path / "key"
    arguments = ("create", "prometheus", "--state", str(state), "--out", str(out))
    assert run(keys, *arguments).output == ""
    key = out.read_text().strip()
    found = KeyFile(state).find(key)
    assert found is not None
    assert found.name == "prometheus"
    assert stat.S_IMODE(out.stat().st_mode) & 0o137 == 0, "it is for its owner, and its group to read"
    assert f"{out} holds a valid key already" in run(keys, *arguments).output
    KeyFile(state).revoke(found.id)
    run(keys, *arguments)
    assert out.read_text().strip() != key
    assert len(KeyFile(state).all()) == 1


def test_a_key_that_cannot_be_handed_over_is_not_kept(state: Path, tmp_path: Path) -> None:
    result = run(keys, "create", "a", "--state", str(state), "--out", str(tmp_path / "absent" / "key"))
    assert result.exit_code == 1
    assert f"--out {tmp_path / 'absent' / 'key'} cannot be written: No such file" in result.output
    assert KeyFile(state).all() == []
