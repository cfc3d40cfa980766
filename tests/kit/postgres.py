"""A PostgreSQL server of the tests' own: in a temporary folder, on a free loopback port, without a password.

The folder is not one of pytest's, which close theirs to other users whenever a session begins.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

_READY_WITHIN_S = 30.0


class NoPostgres(Exception):
    """It cannot be run here; the text says why."""


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run a server; yields the URL of an empty database.

    Raises:
        NoPostgres: it, its driver, or an unprivileged user to run it as is missing.
    """
    if find_spec("psycopg") is None:
        raise NoPostgres("psycopg is not installed: pip install 'latentd[postgres]'")
    binaries, user = _binaries(), _user()
    with tempfile.TemporaryDirectory(prefix="latentd-postgres-") as name:
        if user is not None:
            shutil.chown(name, user)
        with _running(binaries, user, Path(name)) as url:
            yield url


@contextmanager
def _running(binaries: Path, user: str | None, folder: Path) -> Iterator[str]:
    data = folder / "data"
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    initdb: list[str | Path] = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "latentd",
        "-A",
        "trust",
        "--no-sync",
        "-E",
        "UTF8",
    ]
    done = subprocess.run(initdb, user=user, env=environment, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        raise NoPostgres(f"initdb failed: {done.stderr.strip()[-300:]}")
    port = _free_port()
    settings = (f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off")
    command: list[str | Path] = [
        binaries / "postgres",
        "-D",
        data,
        *(word for setting in settings for word in ("-c", setting)),
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, user=user, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        _wait_until_ready(port, server, folder / "log")
        yield f"postgresql://latentd@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(2)  # SIGINT: end now, without waiting for clients
        server.wait()


@contextmanager
def empty_schema(url: str, name: str) -> Iterator[str]:
    """The URL of a schema of its own in the database, gone afterwards."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')
    try:
        yield f"{url}?options=-csearch_path%3D{name}"
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f'DROP SCHEMA "{name}" CASCADE')


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    if on_path is None or shutil.which("initdb") is None:
        raise NoPostgres("PostgreSQL is not installed (Debian and Ubuntu: apt-get install postgresql)")
    return Path(on_path).parent


def _user() -> str | None:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise NoPostgres("these tests run as root and there is no user postgres or nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            psycopg.connect(f"postgresql://latentd@127.0.0.1:{port}/postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise NoPostgres(f"it did not start: {log.read_text()[-300:]}") from None
            time.sleep(0.05)
        else:
            return
