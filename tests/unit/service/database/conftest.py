"""Both databases."""

from tests.kit.database_urls import database, database_url, postgres

__all__ = ["database", "database_url", "postgres"]
