"""Fixtures that run a test over SQLite and over PostgreSQL. Import them into a `conftest.py`."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.database.database import Database
from tests.kit.postgres import NoPostgres, empty_schema, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server; skips where there can be none, with the reason."""
    try:
        with running_postgres() as url:
            yield url
    except NoPostgres as error:
        pytest.skip(f"PostgreSQL: {error}")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'jobs.db'}"
        return
    with empty_schema(request.getfixturevalue("postgres"), f"t{uuid.uuid4().hex}") as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database of each kind, migrated."""
    opened = Database(database_url, busy_s=2.0)
    yield opened
    opened.close()
