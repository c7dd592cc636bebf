"""The servers' own databases: faults and their remedies, creation, vacuum.

`prefect_schema.sql` holds Prefect's tables as its migrations leave them, which spares a new home their seven seconds:
Alembic, which runs them, has no shortcut, and SQLAlchemy's `create_all` fails on a duplicate index. `python -m
tests.support.prefect_tables > deployments/servers/prefect_schema.sql` dumps those of the installed version; a test
compares the two. Any other version runs its migrations.
"""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from deployments.errors import ServerUnavailable
from stockml.errors import StoreError
from stockml.home import HomePaths
from stockml.storage.documents import refusal
from stockml.storage.files import NO_ROOM, write_atomically
from stockml.storage.sqlite_files import fault_of

if TYPE_CHECKING:
    import psycopg

SHARED_INDEX = 32_768  # bytes that SQLite needs beside a file to open it
ON_POSTGRES = ("mlflow", "prefect", "stockml")  # the last is for shared state
DATABASE = "PREFECT_API_DATABASE_CONNECTION_URL"
TABLES = Path(__file__).with_name("prefect_schema.sql")
SQLITE = "sqlite+aiosqlite:///"
MAKING = 0x73746F636B6D6C  # "stockml": the advisory lock for creating databases and tables


def faults(home: HomePaths, *, thorough: bool = False) -> Iterator[StoreError]:
    """Yield what makes Prefect's or MLflow's database in this home unusable, with the way back."""
    prefect, mlflow = home.prefect / "prefect.db", home.root / "mlflow.db"
    is_being_created = prefect.exists() and not prefect.stat().st_size and not (home.prefect / "migrated.txt").exists()
    away = "end `stockml up` if it is up, and move it away with its `-wal` and `-shm`"
    deployed = f"{away}; `stockml deploy` brings schedules back, the pages of past runs are gone"
    rebuilt = f"{away}; nights are logged anew from then on"
    for path, table, way_back, counts in (
        (prefect, "flow_run", deployed, not is_being_created),
        (mlflow, "experiments", rebuilt, True),
    ):
        if counts and (fault := fault_of(path, table, thorough=thorough)):
            found = f"expected a database, found {fault}; it was left as it is: {way_back}"
            if not _has_room(path.parent):
                found = f"expected room on the disk, found none ({fault}); make room, then run this again"
            elif not os.access(path.parent, os.W_OK):
                found = f"expected a folder that can be written, found another ({fault}); correct its rights or mount"
            yield StoreError(str(path), found)


def _has_room(folder: Path) -> bool:
    """Whether SQLite could write there. Tests by writing, since a quota does not show in the disk's free space."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(SHARED_INDEX))
    except OSError as error:
        return error.errno not in NO_ROOM
    return True


def check(home: HomePaths) -> None:
    """Raise StoreError for the first fault, so that a server with a broken database is not started."""
    for fault in faults(home):
        raise fault


def create(home: HomePaths) -> None:
    """Create missing databases on STOCKML_DATABASE_URL's server. Raises ServerUnavailable, which shows no password."""
    with exclusive_connection(home) as server:
        if server is None:
            return
        existing = {row[0] for row in server.execute("SELECT datname FROM pg_database")}
        for name in ON_POSTGRES:
            if name not in existing:
                server.execute(f"CREATE DATABASE {name}")


@contextmanager
def exclusive_connection(home: HomePaths) -> "Iterator[psycopg.Connection[Any] | None]":
    """Yield a connection to STOCKML_DATABASE_URL's server, held by one block at a time across all homes; None if unset.

    Raises ServerUnavailable, which shows no password.
    """
    if home.database is None:
        yield None
        return
    with connected(f"{home.database}/postgres") as server:
        server.execute("SELECT pg_advisory_lock(%s)", (MAKING,))
        yield server


def check_server(address: str) -> None:
    """Raise ServerUnavailable if the database does not answer, or refuses.  address: as of `connected`."""
    with connected(address) as server:
        server.execute("SELECT 1")


@contextmanager
def connected(address: str) -> "Iterator[psycopg.Connection[Any]]":
    """Yield a connection to user:password@host:port/database. Raises ServerUnavailable, which shows no password."""
    server_address = address.rpartition("@")[2].partition("/")[0]
    try:
        import psycopg
    except ImportError as error:
        advice = "install it with `pip install stockml[postgres]`"
        raise ServerUnavailable("PostgreSQL's driver", server_address, advice) from error
    try:
        with psycopg.connect(f"postgresql://{address}", autocommit=True, connect_timeout=10) as server:
            yield server
    except psycopg.Error as error:
        raise ServerUnavailable("PostgreSQL", server_address, "check STOCKML_DATABASE_URL", refusal(error)) from None


def local_database(environ: Mapping[str, str]) -> Path | None:
    """The SQLite file in Prefect's settings if given by a plain absolute path; None for any other address."""
    url = environ.get(DATABASE, "")
    return Path(url.removeprefix(SQLITE)) if url.startswith(f"{SQLITE}{os.sep}") and "?" not in url else None


def create_prefect(database: Path, tables: Path = TABLES) -> None:
    """Create the database with empty tables if there is none: atomic, and safe against concurrent calls.

    Does nothing if the write-ahead log of a removed database is left: SQLite would replay it into the new one.
    """
    schema, log = tables.read_text(encoding="utf-8"), database.with_name(f"{database.name}-wal")
    if database.exists() or log.exists() or not schema.startswith(heading()):
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(":memory:")) as new:
        new.executescript(schema)
        content = new.serialize()
    with FileLock(database.with_name("layout.lock")):
        if not database.exists():
            write_atomically(database, content)


def migrate_without_this_folder() -> None:
    """Make Prefect's migrations leave the path of imports alone: they put the working folder first in it."""
    from alembic.config import Config

    alembics: Any = Config
    alembics.get_prepend_sys_paths_list = lambda self: None


def migrate() -> None:
    """Let Prefect create its database or bring it up to date, by its own migrations."""
    from prefect.server.database import provide_database_interface

    migrate_without_this_folder()
    asyncio.run(provide_database_interface().create_db())


def heading() -> str:
    return f"-- Prefect {version('prefect')}, as its migrations leave an empty SQLite database\n"


def vacuum() -> None:
    """Delete Prefect's runs that ended longer ago than its settings keep them, as `stockml up`'s server does hourly.

    Call it where Prefect's settings name the database, as within `prefect_api()`.
    """
    from prefect.server.database import provide_database_interface
    from prefect.server.services.db_vacuum import vacuum_old_flow_runs

    asyncio.run(vacuum_old_flow_runs(db=provide_database_interface()))
