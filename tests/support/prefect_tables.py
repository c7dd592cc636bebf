"""Print the tables that the installed Prefect's migrations make, for `deployments/servers/prefect_schema.sql`."""

import os
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from deployments.servers.databases import DATABASE, SQLITE, heading, migrate


def tables_of(database: Path) -> str:
    """Dump every table, index and row as SQL, ordered by name."""
    with closing(sqlite3.connect(database)) as tables:
        return "\n".join([*tables.iterdump(), ""])


def main() -> None:
    """Let Prefect create an empty database, and print its dump."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "prefect.db"
        os.environ[DATABASE] = f"{SQLITE}{database}"
        migrate()
        sys.stdout.write(heading() + tables_of(database))


if __name__ == "__main__":
    main()
