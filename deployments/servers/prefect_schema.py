"""Prefect's tables as its own migrations leave them, so that a new home has them in a moment, not in seven seconds.

Alembic, which runs them, knows no shortcut; SQLAlchemy's `create_all` fails on Prefect's tables: an index stands twice.

`python -m deployments.servers.prefect_schema > deployments/servers/prefect_schema.sql` writes the tables of the
installed version down; a test compares the two. With any other version nothing is laid out, and its migrations run.
"""

import asyncio
import os
import sqlite3
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from stockml.storage.files import write_atomically

DATABASE = "PREFECT_API_DATABASE_CONNECTION_URL"
TABLES = Path(__file__).with_name("prefect_schema.sql")
_PREFIX = "sqlite+aiosqlite:///"


def local_database(environ: Mapping[str, str]) -> Path | None:
    """The SQLite file that Prefect's settings name, by its path alone; None for any other address."""
    url = environ.get(DATABASE, "")
    return Path(url.removeprefix(_PREFIX)) if url.startswith(f"{_PREFIX}{os.sep}") and "?" not in url else None


def create_database(database: Path, tables: Path = TABLES) -> None:
    """Make the database, its tables empty, where there is none; whole or not at all, whoever else is about it.

    Not where the log of one that was taken away has stayed: SQLite would play it into the new one.
    """
    written, log = tables.read_text(encoding="utf-8"), database.with_name(f"{database.name}-wal")
    if database.exists() or log.exists() or not written.startswith(_heading()):
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(":memory:")) as new:
        new.executescript(written)
        content = new.serialize()
    with FileLock(database.with_name("layout.lock")):
        if not database.exists():
            write_atomically(database, content)


def main() -> None:
    """Let Prefect make an empty database, and print what it made."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "prefect.db"
        os.environ[DATABASE] = f"{_PREFIX}{database}"
        migrate()
        sys.stdout.write(_heading() + tables_of(database))


def tables_of(database: Path) -> str:
    """Every table, index and row as SQL, in the order of their names."""
    with closing(sqlite3.connect(database)) as tables:
        return "\n".join([*tables.iterdump(), ""])


def migrate() -> None:
    """Have Prefect make its database, or bring it up to date, by its own migrations."""
    from prefect.server.database import provide_database_interface

    asyncio.run(provide_database_interface().create_db())


def _heading() -> str:
    return f"-- Prefect {version('prefect')}, as its migrations leave an empty SQLite database\n"


if __name__ == "__main__":
    main()
