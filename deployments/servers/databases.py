"""The servers' own databases: faults and their remedies, creation on PostgreSQL, vacuum."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deployments.errors import ServerUnavailable
from stockml.errors import StoreError
from stockml.home import Home
from stockml.storage.files import NO_ROOM
from stockml.storage.notes import refusal
from stockml.storage.sqlite_files import fault_of

if TYPE_CHECKING:
    import psycopg

SHARED_INDEX = 32_768  # bytes that SQLite needs beside a file to open it
ON_POSTGRES = ("mlflow", "prefect", "stockml")  # the last is for shared state
MAKING = 0x73746F636B6D6C  # "stockml": the advisory lock for creating databases and tables


def faults(home: Home, *, thorough: bool = False) -> Iterator[StoreError]:
    """Yield what makes Prefect's or MLflow's database in this home unusable, with the way back."""
    prefect, mlflow = home.prefect / "prefect.db", home.root / "mlflow.db"
    in_the_making = prefect.exists() and not prefect.stat().st_size and not (home.prefect / "migrated.txt").exists()
    away = "move it away with its `-wal` and `-shm`"
    deployed = f"{away}; `stockml deploy` brings schedules back, the pages of past runs are gone"
    rebuilt = f"{away}; `stockml rebuild-tracking` makes its runs again from the records of the nights"
    for path, table, way_back, counts in (
        (prefect, "flow_run", deployed, not in_the_making),
        (mlflow, "experiments", rebuilt, True),
    ):
        if counts and (fault := fault_of(path, table, thorough=thorough)):
            found = f"expected a database, found {fault}; it was left as it is: {way_back}"
            if not _has_room(path.parent):
                found = f"expected room on the disk, found none ({fault}); make room, then run this again"
            elif not os.access(path.parent, os.W_OK):
                found = f"expected a folder that can be written, found another ({fault}); correct its rights"
            yield StoreError(str(path), found)


def _has_room(folder: Path) -> bool:
    """Whether SQLite could write there. Tests by writing, since a quota does not show in the disk's free space."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(SHARED_INDEX))
    except OSError as error:
        return error.errno not in NO_ROOM
    return True


def check(home: Home) -> None:
    """Raise StoreError for the first fault, so that a server with a broken database is not started."""
    for fault in faults(home):
        raise fault


def create(home: Home) -> None:
    """Create missing databases on STOCKML_DATABASE_URL's server. Raises ServerUnavailable, which shows no password."""
    with alone(home) as server:
        if server is None:
            return
        found = {row[0] for row in server.execute("SELECT datname FROM pg_database")}
        for name in ON_POSTGRES:
            if name not in found:
                server.execute(f"CREATE DATABASE {name}")


@contextmanager
def alone(home: Home) -> "Iterator[psycopg.Connection[Any] | None]":
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
    place = address.rpartition("@")[2].partition("/")[0]
    try:
        import psycopg
    except ImportError as error:
        advice = "install it with `pip install stockml[postgres]`"
        raise ServerUnavailable("PostgreSQL's driver", place, advice) from error
    try:
        with psycopg.connect(f"postgresql://{address}", autocommit=True, connect_timeout=10) as server:
            yield server
    except psycopg.Error as error:
        raise ServerUnavailable("PostgreSQL", place, "check STOCKML_DATABASE_URL", refusal(error)) from None


def vacuum() -> None:
    """Delete Prefect's runs that ended longer ago than its settings keep them, as `stockml up`'s server does hourly.

    Call it where Prefect's settings name the database, as within `prefect_api()`.
    """
    import asyncio

    from prefect.server.database import provide_database_interface
    from prefect.server.services.db_vacuum import vacuum_old_flow_runs

    asyncio.run(vacuum_old_flow_runs(db=provide_database_interface()))
