"""Where a setting comes from, and what a wrong one is answered with."""

from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings, SettingsError, load_settings


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "latentd.toml"


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(config: Path) -> None:
    config.write_text("http_port = 1\ngrpc_port = 1\nqueue_limit = 4000\n")
    environment = {"LATENTD_HTTP_PORT": "2", "LATENTD_GRPC_PORT": "2"}
    settings = load_settings({"http_port": "3", "grpc_port": None}, environment, config)
    assert settings.http_port == 3
    assert settings.grpc_port == 2
    assert settings.queue_limit == 4000
    assert settings.max_images == Settings().max_images


def test_without_any_source_the_defaults_hold() -> None:
    assert load_settings({}, {}) == Settings()
    assert Settings().host == "127.0.0.1"
    assert (Settings().http_port, Settings().grpc_port) == (8000, 8001)


def test_other_programs_variables_and_those_of_the_client_are_let_pass() -> None:
    assert load_settings({}, {"PATH": "/bin", "LATENTD_API_KEY": "lk_x", "LATENTD_URL": "http://x"}) == Settings()


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        ({"http_prt": "1"}, {}, r"unknown setting http_prt \(flag\): did you mean http_port\?"),
        ({}, {"LATENTD_HTTP_PRT": "1"}, r"unknown setting LATENTD_HTTP_PRT \(environment\): did you mean http_port\?"),
        ({}, {"LATENTD_ZZZ": "1"}, r"unknown setting LATENTD_ZZZ \(environment\): known are store, state, host"),
        ({"http_port": "70000"}, {}, r"setting http_port \(flag\): .* less than or equal to 65535, got '70000'"),
        ({}, {"LATENTD_HTTP_PORT": "x"}, r"setting http_port \(environment\): .* valid integer.*, got 'x'"),
        ({"queue_limit": "0"}, {}, r"setting queue_limit \(flag\): .* greater than or equal to 1, got '0'"),
        ({"log_level": "loud"}, {}, r"setting log_level \(flag\): .*'debug', 'info', 'warning' or 'error', got 'loud'"),
        ({"batch_ms": "0"}, {}, r"setting batch_ms \(flag\): .* greater than 0, got '0'"),
        ({"max_images": "9000"}, {}, r"max_images \(9000\) is above queue_limit \(8192\)"),
        ({"drain_seconds": "inf"}, {}, r"setting drain_seconds \(flag\): .* finite number, got 'inf'"),
        ({"poll_seconds": "nan"}, {}, r"setting poll_seconds \(flag\): .* finite number, got 'nan'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_origin_its_value_and_what_is_allowed(
    flags: dict[str, Any], environment: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(flags, environment)


def test_a_wrong_setting_of_the_file_names_the_file(config: Path) -> None:
    config.write_text("max_batch = 5000\n")
    with pytest.raises(SettingsError, match=rf"setting max_batch \(file {config}\): .* equal to 1024, got 5000"):
        load_settings({}, {}, config)
    config.write_text("[server]\nport = 1\n")
    with pytest.raises(SettingsError, match=rf"unknown setting server \(file {config}\)"):
        load_settings({}, {}, config)


def test_a_file_that_cannot_be_read_is_named(config: Path) -> None:
    with pytest.raises(SettingsError, match=f"config file {config} cannot be read: No such file"):
        load_settings({}, {}, config)
    config.write_text("http_port 8000")
    with pytest.raises(SettingsError, match=f"config file {config} is not TOML: "):
        load_settings({}, {}, config)
    config.write_bytes(b'host = "\xff"')
    with pytest.raises(SettingsError, match=f"config file {config} is not TOML: "):
        load_settings({}, {}, config)


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
