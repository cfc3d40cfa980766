"""Orders and settings: what is allowed, and what is said of the rest."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime.fine_tuning import (
    FineTuneConfig,
    FineTuneConfigError,
    FineTuneOrder,
    parse_config,
    read_order,
    read_result,
    write_order,
)

ORDER: dict[str, Any] = {"job": "ft-1", "package": "/m/a/1", "data": "/d", "store": "/m", "name": "mine"}


def test_everything_has_a_default() -> None:
    assert parse_config({}) == FineTuneConfig()


def test_auto_is_what_openai_calls_a_default() -> None:
    assert parse_config({"epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}) == parse_config(
        {}
    )
    assert parse_config({"epochs": 3}).epochs == 3


def test_fp32_is_always_among_the_precisions() -> None:
    assert parse_config({"precisions": ["int8"]}).precisions == ("fp32", "int8")
    assert parse_config({"precisions": None}).precisions is None


@pytest.mark.parametrize(
    ("values", "field", "reason"),
    [
        ({"rank": 0}, "rank", "greater than or equal to 1, got 0"),
        ({"adapter": "lora"}, "adapter", "'none', 'norm' or 'low-rank', got 'lora'"),
        ({"max_minutes": float("inf")}, "max_minutes", "finite"),
        ({"learning_rate": 1}, "learning_rate", "no such field; allowed are classes, label"),
        ({"require": ["coverage is good"]}, "require", "write MEASURE<NUMBER"),
        ({"precisions": ["fp16"]}, "precisions.0", "'fp32' or 'int8', got 'fp16'"),
        ({"epochs": "many"}, "epochs", "valid integer"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(FineTuneConfigError) as caught:
        parse_config(values)
    assert caught.value.field == field
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    "expression", ["coverage>=0.6", "kernel_distance_ratio < 5e-1", "int8.recall>.5", "copying_signs<=0"]
)
def test_requirements_compare_a_measure_with_a_number(expression: str) -> None:
    assert parse_config({"require": [expression]}).require == (expression,)


def test_an_order_survives_its_file(tmp_path: Path) -> None:
    order = FineTuneOrder(**ORDER, attempt=2, config=FineTuneConfig(adapter="norm"))
    write_order(tmp_path, order)
    assert read_order(tmp_path) == order


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "is not JSON"),
        ("[]", "holds a list"),
        (json.dumps(ORDER | {"job": "../x"}), "^job: "),
        (json.dumps(ORDER | {"name": "A B"}), "^name: "),
        (json.dumps({"job": "a"}), "^package: Field required$"),
        (json.dumps(ORDER | {"config": {"rank": 0}}), r"^config\.rank: "),
        (json.dumps(ORDER | {"config": {"bogus": 0}}), r"^config\.bogus: no such field; allowed are classes"),
    ],
)
def test_an_order_that_is_none_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "job.json").write_text(content)
    with pytest.raises(FineTuneConfigError, match=message):
        read_order(tmp_path)


def test_a_job_without_result_has_none_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    assert read_result(tmp_path) is None
    (tmp_path / "result.json").write_text('{"job": "a"}')
    with pytest.raises(FineTuneConfigError, match="not a result"):
        read_result(tmp_path)


def test_settings_are_checked_without_what_trains() -> None:
    code = (
        "import sys, runtime.fine_tuning, runtime.event_file\n"
        "print([name for name in ('torch', 'onnxruntime', 'sklearn', 'numpy') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
