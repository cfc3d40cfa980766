"""Data sets that lie beside the checkout, never in it."""

import os
from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).resolve().parents[2]


def shared_data(name: str) -> Path:
    """The folder `name` (e.g. ``mnist``) of TEST_DATA, by default of ../shared/data.

    Skips the calling test where the folder is absent, and fails it where TEST_DATA names it wrongly.
    """
    given = os.environ.get("TEST_DATA")
    folder = Path(given or _CHECKOUT.parent / "shared" / "data") / name
    if folder.is_dir():
        return folder
    if given:
        pytest.fail(f"TEST_DATA is {given!r}, which has no folder {name}")
    pytest.skip(f"needs the data set {name}: set TEST_DATA to the folder that holds it")
