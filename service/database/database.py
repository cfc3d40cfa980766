"""One database, SQLite or PostgreSQL: opened, migrated, and written to in short transactions.

On SQLite every writer takes the write lock when it begins (``BEGIN IMMEDIATE``): a transaction that reads first and
writes later would be refused at once instead of waiting its turn. Commits are synchronous: what a client was told is
on the disk.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, event, exc, inspect, text
from sqlalchemy.engine import URL, make_url

from service.errors import StorageUnavailable
from service.settings import SettingsError

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x6C61746E  # any number that nothing else locks on
_SCHEMES = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_TRIES = 3
_CONNECT_S = 10

_Result = TypeVar("_Result")


class Database:
    """A database whose tables are those of `service.database.tables`.

    Args:
        url: ``sqlite:///path`` or ``postgresql://user:password@host/name``.
        busy_s: how long a writer waits for another before `StorageUnavailable`.

    Raises:
        SettingsError: not such a URL, or a database that cannot be opened; the password is not in the message.
    """

    def __init__(self, url: str, *, busy_s: float = 5.0) -> None:
        parsed = _parse(url)
        self.is_sqlite = parsed.drivername.startswith("sqlite")
        self.shown = parsed.render_as_string(hide_password=True)
        options: dict[str, Any] = {"pool_size": 8, "max_overflow": 24, "pool_timeout": busy_s}
        if not self.is_sqlite:
            options |= {"pool_pre_ping": True, "connect_args": {"connect_timeout": _CONNECT_S}}
        try:
            self._engine = create_engine(parsed, **options)
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"setting database: {self.shown} needs the module {error.name!r}: pip install 'latentd[postgres]'"
            ) from error
        if self.is_sqlite:
            _prepare_sqlite(self._engine, busy_s)
        else:
            _prepare_postgres(self._engine, busy_s)
        self._writer = self._engine.execution_options(latentd_writes=True)
        try:
            self._migrate()
        except (exc.DBAPIError, OSError) as error:
            cause = error.orig if isinstance(error, exc.DBAPIError) else error
            raise SettingsError(f"setting database: {self.shown} cannot be opened: {cause}") from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads; on PostgreSQL each statement sees what was committed before it began.

        Raises:
            StorageUnavailable: the database is locked, full or gone.
        """
        with _foreseen(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed as a whole, or not at all.

        Raises:
            StorageUnavailable: the database is locked, full or gone; nothing was written.
        """
        with _foreseen(), self._writer.connect() as connection, connection.begin():
            yield connection

    def write(self, work: Callable[[Connection], _Result]) -> _Result:
        """`work` in a `writing` transaction, again where the database found it in another's way (PostgreSQL)."""
        for left in reversed(range(_TRIES)):
            try:
                with self.writing() as connection:
                    return work(connection)
            except exc.IntegrityError:  # two inserted the same key: the second try finds the first one's row
                if not left:
                    raise
        raise AssertionError("unreachable")

    def now(self, connection: Connection) -> float:
        """Seconds since the epoch by the one clock that all users of this database share."""
        if self.is_sqlite:
            return time.time()
        return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())

    def lock(self, connection: Connection, number: int) -> None:
        """Hold `number` against other writers until the transaction ends."""
        if not self.is_sqlite:  # whose writers are one at a time anyway
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _migrate(self) -> None:
        with self._writer.connect() as connection:
            if _is_current(connection):
                return
        logging.getLogger("alembic").setLevel(logging.WARNING)  # its plugins and steps are nobody's news
        from alembic import command  # takes a third of a second to load
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        with self._writer.connect() as connection, connection.begin():
            self.lock(connection, _MIGRATION_LOCK)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _is_current(connection: Connection) -> bool:
    """Whether the newest migration has been applied."""
    newest = max(path.stem[1:5] for path in (_MIGRATIONS / "versions").glob("v????_*.py"))
    if not inspect(connection).has_table("alembic_version"):
        return False
    applied = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    return list(applied) == [newest]


def default_url(state: Path) -> str:
    """The SQLite database of a state folder."""
    return f"sqlite:///{(state / 'latentd.db').resolve()}"


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except exc.ArgumentError as error:
        raise SettingsError(
            f"setting database: not a URL; allowed: sqlite:///PATH or postgresql://USER@HOST/NAME, got {url[:20]!r}…"
        ) from error
    backend = parsed.drivername.partition("+")[0]
    if backend not in _SCHEMES:
        raise SettingsError(f"setting database: got {backend!r}; allowed: sqlite:///PATH, postgresql://USER@HOST/NAME")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise SettingsError("setting database: got one in memory; allowed: sqlite:///PATH, which survives the server")
    return parsed.set(drivername=_SCHEMES[backend]) if "+" not in parsed.drivername else parsed


def _prepare_sqlite(engine: Any, busy_s: float) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not guessed by the driver
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {round(busy_s * 1000)}")
        _switch_to_wal(cursor, busy_s)
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("latentd_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _switch_to_wal(cursor: Any, busy_s: float) -> None:
    """Readers and a writer at once. The switch itself, alone of all, does not wait for a lock."""
    deadline = time.monotonic() + busy_s
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _prepare_postgres(engine: Any, busy_s: float) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {round(busy_s * 1000)}")
        connection.commit()


@contextmanager
def _foreseen() -> Iterator[None]:
    """What happens to databases, as an error that says: come back."""
    try:
        yield
    except (exc.OperationalError, exc.TimeoutError, exc.InterfaceError) as error:
        cause = getattr(error, "orig", None)
        words = str(cause or error).strip().splitlines()
        reason = words[0] if words else type(cause or error).__name__
        raise StorageUnavailable(f"the job database cannot be used now: {reason}", retry_after_s=1.0) from error
