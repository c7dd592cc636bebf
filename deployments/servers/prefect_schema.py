"""A dump of Prefect's tables as its migrations leave them, which spares a new home their seven seconds.

Alembic, which runs the migrations, has no shortcut; SQLAlchemy's `create_all` fails on a duplicate index.

`python -m tests.support.prefect_tables > deployments/servers/prefect_schema.sql` dumps the installed version's tables;
a test compares the two. For any other version the dump is not used, and its migrations run.
"""

import asyncio
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from stockml.storage.files import write_atomically

DATABASE = "PREFECT_API_DATABASE_CONNECTION_URL"
TABLES = Path(__file__).with_name("prefect_schema.sql")
PREFIX = "sqlite+aiosqlite:///"


def local_database(environ: Mapping[str, str]) -> Path | None:
    """The SQLite file in Prefect's settings if given by a plain absolute path; None for any other address."""
    url = environ.get(DATABASE, "")
    return Path(url.removeprefix(PREFIX)) if url.startswith(f"{PREFIX}{os.sep}") and "?" not in url else None


def create_database(database: Path, tables: Path = TABLES) -> None:
    """Create the database with empty tables if there is none: atomic, and safe against concurrent calls.

    Does nothing if the write-ahead log of a removed database is left: SQLite would replay it into the new one.
    """
    written, log = tables.read_text(encoding="utf-8"), database.with_name(f"{database.name}-wal")
    if database.exists() or log.exists() or not written.startswith(heading()):
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(":memory:")) as new:
        new.executescript(written)
        content = new.serialize()
    with FileLock(database.with_name("layout.lock")):
        if not database.exists():
            write_atomically(database, content)


def migrate() -> None:
    """Let Prefect create its database or bring it up to date, by its own migrations."""
    from prefect.server.database import provide_database_interface

    asyncio.run(provide_database_interface().create_db())


def heading() -> str:
    return f"-- Prefect {version('prefect')}, as its migrations leave an empty SQLite database\n"
