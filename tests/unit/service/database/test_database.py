"""Transactions, migrations and refusals of the database, over both kinds."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select

from service.database import migrations
from service.database.database import Database, default_url
from service.database.tables import IDEMPOTENCY, METADATA
from service.errors import StorageUnavailable
from service.settings import SettingsError


def entry(key: str) -> dict[str, object]:
    return {"key": key, "digest": "0" * 64, "job_id": "job", "created_at": 1.0}


def test_the_migrations_make_the_tables_that_the_code_uses(database: Database) -> None:
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, METADATA) == []


def test_a_database_that_is_current_is_opened_without_loading_the_migrations(database_url: str) -> None:
    Database(database_url).close()
    code = f"import sys; from service.database.database import Database; Database({database_url!r}).close()"
    done = subprocess.run([sys.executable, "-c", f"{code}; assert 'alembic' not in sys.modules"], check=False)
    assert done.returncode == 0


def test_the_newest_file_holds_the_newest_migration() -> None:
    files = sorted((Path(migrations.__file__).parent / "versions").glob("v????_*.py"))
    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_heads() == [files[-1].stem[1:5]]


def test_opening_again_changes_nothing(database: Database, database_url: str) -> None:
    with database.writing() as connection:
        connection.execute(insert(IDEMPOTENCY).values(entry("kept")))
    again = Database(database_url)
    with again.reading() as connection:
        assert connection.execute(select(IDEMPOTENCY.c.key)).scalars().all() == ["kept"]
    again.close()


def test_two_may_open_an_empty_database_at_once(database_url: str) -> None:
    opened: list[Database] = []
    threads = [threading.Thread(target=lambda: opened.append(Database(database_url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 4
    for database in opened:
        database.close()


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        connection.execute(insert(IDEMPOTENCY).values(entry("half")))
        1 / 0  # noqa: B018
    with database.reading() as connection:
        assert connection.execute(select(IDEMPOTENCY.c.key)).all() == []


def test_a_lost_race_for_a_key_is_run_again(database: Database) -> None:
    tries = 0

    def work(connection: object) -> str:
        nonlocal tries
        tries += 1
        with database.reading() as look:
            found = look.execute(select(IDEMPOTENCY.c.key)).scalars().all()
        if found:
            return "found"
        if not database.is_sqlite:  # another is quicker, between our look and our insert
            with database.writing() as other:
                other.execute(insert(IDEMPOTENCY).values(entry("key")))
        connection.execute(insert(IDEMPOTENCY).values(entry("key")))  # type: ignore[attr-defined]
        return "inserted"

    assert database.write(work) == ("inserted" if database.is_sqlite else "found")
    assert tries == (1 if database.is_sqlite else 2)


def test_a_locked_database_is_said_to_come_back_and_does(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    database = Database(f"sqlite:///{path}", busy_s=0.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable, match="locked") as caught, database.writing():
        pass
    assert caught.value.retry_after_s > 0
    with database.reading() as connection:  # readers are not in a writer's way
        assert connection.execute(select(IDEMPOTENCY.c.key)).all() == []
    other.execute("ROLLBACK")
    with database.writing() as connection:
        connection.execute(insert(IDEMPOTENCY).values(entry("later")))
    other.close()
    database.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "allowed: sqlite:///PATH or postgresql"),
        ("mysql://root@host/db", "got 'mysql'"),
        ("sqlite://", "in memory"),
        ("sqlite:////nowhere/at/all/jobs.db", "cannot be opened"),
    ],
)
def test_a_wrong_url_says_what_is_allowed(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Database(url)


def test_no_password_is_shown(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="needs latentd[postgres]")
    with pytest.raises(SettingsError) as caught:
        Database("postgresql://user:geheim@127.0.0.1:1/none", busy_s=0.1)
    assert "geheim" not in str(caught.value)
    assert "user:***@127.0.0.1" in str(caught.value)


def test_the_default_is_a_file_of_the_state_folder(tmp_path: Path) -> None:
    Database(default_url(tmp_path)).close()
    assert (tmp_path / "latentd.db").is_file()
