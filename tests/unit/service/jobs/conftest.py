"""Both databases, and the two sides of the job store over each."""

import pytest

from service.database.database import Database
from service.jobs.claims import Claims
from service.jobs.store import JobStore
from tests.kit.database_urls import database, database_url, postgres

__all__ = ["database", "database_url", "postgres"]


@pytest.fixture
def jobs(database: Database) -> JobStore:
    """The clients' side."""
    return JobStore(database)


@pytest.fixture
def claims(database: Database) -> Claims:
    """The side of a runner called ``a``."""
    return Claims(database, "a", lease_s=60.0)
