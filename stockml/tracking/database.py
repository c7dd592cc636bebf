"""MLflow's own SQLite database: made whole, or not there at all.

Imported by `tracking` only; imports mlflow inside functions. MLflow creates its tables in some sixty migrations that
take seconds and are no transaction: killed among them, it leaves a database that it can never open again.
"""

import os
import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from stockml.storage.sqlite_files import fault_of

PREFIX = "sqlite:///"
TRIES = count()  # MLflow keeps a process's connections by address: a try must not find those of one that failed


ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def make_whole(uri: str, artifacts: str) -> None:
    """Make the database that `uri` names, where it is a missing SQLite file: beside its place, then put there at once.

    One that is there follows its home, where that was moved; one that is damaged raises sqlite3.DatabaseError.
    `artifacts` is where every experiment keeps its files. To be called by one process at a time.
    """
    path = Path(uri.removeprefix(PREFIX))
    if not uri.startswith(PREFIX):
        return
    if path.exists():
        if fault := fault_of(path, "experiments"):
            raise sqlite3.DatabaseError(f"{fault} where its database was; `stockml doctor` says what to do")
        _follow(path, artifacts.rstrip("/"))
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_beside(path)
    beside = path.with_name(f".{path.name}.making{next(TRIES) or ''}")
    try:
        SqlAlchemyStore(f"{PREFIX}{beside}", artifacts).engine.dispose()  # type: ignore[no-untyped-call]
        with beside.open("rb") as made:
            os.fsync(made.fileno())
        os.replace(beside, path)
    finally:
        _clear_beside(path)


def _follow(path: Path, artifacts: str) -> None:
    """Let runs and models point to where the artifacts are now: those of a ticker whose folder came here with the home.

    MLflow keeps full addresses, and would write on into the old folder.
    """
    if not artifacts.startswith("file:"):
        return
    here = Path(url2pathname(urlsplit(artifacts).path))
    with closing(sqlite3.connect(path, timeout=60)) as database, database:
        query = "SELECT name, artifact_location FROM experiments WHERE name LIKE 'stockml/%'"
        for name, before in database.execute(query).fetchall():
            ticker = name.removeprefix("stockml/")
            now, came_along = f"{artifacts}/{ticker}", (here / ticker).is_dir()
            if before == now or not before.endswith(f"/{ticker}") or not came_along:
                continue
            for table, column in ADDRESSES:
                database.execute(
                    f"UPDATE {table} SET {column} = :now || substr({column}, length(:before) + 1) "
                    f"WHERE {column} = :before OR substr({column}, 1, length(:before) + 1) = :before || '/'",
                    {"now": now, "before": before},
                )


def _clear_beside(path: Path) -> None:
    """Take away what a killed or failed try left."""
    for left in path.parent.glob(f".{path.name}.making*"):
        left.unlink(missing_ok=True)
