"""MLflow's database: created if it is an SQLite file, corrected when the home moves, and read by the doctor.

The file appears only when complete: MLflow creates its tables in some sixty migrations, which take seconds and are no
transaction; a kill between them leaves a database that it can never open again.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from filelock import FileLock

from stockml.storage.sqlite_files import fault_of

PREFIX = "sqlite:///"
LOCK_ID = 0x6D6C666C6F77  # "mlflow": the advisory lock of a PostgreSQL database for creating its tables
MAX_WAIT_S = 120  # that creating them may take
ALL_TICKERS = "all-tickers"  # the folder of the experiment `stockml`, which has the track records
TRIES = count()  # MLflow caches connections by address: a try must not get those of a failed one

ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
LOCATIONS = "SELECT name, artifact_location FROM experiments"
WITH_FILES = """
SELECT DISTINCT experiments.name FROM experiments JOIN runs USING (experiment_id)
JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = 'stockml.key'
WHERE runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active'
AND runs.run_uuid NOT IN (SELECT run_uuid FROM tags WHERE key = 'stockml.cleared')
"""
LOGGED = """
SELECT DISTINCT tags.value FROM tags JOIN runs USING (run_uuid)
WHERE tags.key = 'stockml.key' AND runs.lifecycle_stage = 'active'
"""


@contextmanager
def exclusive_access(uri: str, locks: Path) -> Iterator[None]:
    """Keep others from opening the database meanwhile: of this home, or of all machines if it is PostgreSQL's.

    MLflow creates missing tables when it opens a database: two processes at once would spoil it for each other.
    Raises TimeoutError or SQLAlchemyError after `MAX_WAIT_S` seconds.
    """
    with FileLock(locks / "mlflow-database.lock", timeout=MAX_WAIT_S):
        if not uri.startswith("postgresql"):
            yield
            return
        from sqlalchemy import NullPool, create_engine, text

        with create_engine(uri, poolclass=NullPool).begin() as server:
            server.execute(text(f"SET LOCAL lock_timeout = '{MAX_WAIT_S}s'"))
            server.execute(text(f"SELECT pg_advisory_xact_lock({LOCK_ID})"))
            yield


def create_or_update(uri: str, artifacts: str) -> None:
    """Create the database that `uri` names if it is a missing SQLite file: beside it, then moved when complete.

    An existing one is updated if its home has moved; a damaged one raises sqlite3.DatabaseError. One process at a time.
    """
    if not uri.startswith(PREFIX):
        return
    path = Path(uri.removeprefix(PREFIX))
    if path.exists():
        if fault := fault_of(path, "experiments"):
            raise sqlite3.DatabaseError(f"{fault} where its database was")
        _repoint_artifacts(path, artifacts.rstrip("/"))
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_beside(path)
    unfinished = path.with_name(f".{path.name}.making{next(TRIES) or ''}")
    try:
        SqlAlchemyStore(f"{PREFIX}{unfinished}", artifacts).engine.dispose()  # type: ignore[no-untyped-call]
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        _clear_beside(path)


def _repoint_artifacts(path: Path, artifacts: str) -> None:
    """Point runs and models at a moved home's artifacts: MLflow stores full addresses."""
    if not artifacts.startswith("file:"):
        return
    with closing(sqlite3.connect(path, timeout=60)) as database, database:
        for before, after in _relocations(_local(database.execute(LOCATIONS).fetchall()), artifacts):
            if _folder(after).is_dir() or not _folder(before).exists():
                for table, column in ADDRESSES:
                    database.execute(
                        f"UPDATE {table} SET {column} = :after || substr({column}, length(:before) + 1) "
                        f"WHERE {column} = :before OR substr({column}, 1, length(:before) + 1) = :before || '/'",
                        {"after": after, "before": before},
                    )


def missing_folders(uri: str, artifacts: str) -> list[Path]:
    """The folders where MLflow expects nights' files and that are missing, below the home's `artifacts` too.

    The latter counts only for an SQLite file, whose addresses follow a moved home. Reads only. Raises SQLAlchemyError.
    """
    locations = _local(_selected(uri, LOCATIONS))
    with_files = {name for (name,) in _selected(uri, WITH_FILES)}
    moved = dict(_relocations(locations, artifacts.rstrip("/"))) if uri.startswith(PREFIX) else {}
    expected = (location for name, location in locations.items() if name in with_files)
    absent = (location for location in expected if not _folder(moved.get(location, location)).is_dir())
    return [_folder(location) for location in absent if not _folder(location).is_dir()]


def logged_keys(uri: str) -> set[str]:
    """The keys of the nights that have a run in MLflow's database. Changes nothing. Raises SQLAlchemyError."""
    return {key for (key,) in _selected(uri, LOGGED)}


def _selected(uri: str, query: str) -> list[tuple[Any, ...]]:
    from sqlalchemy import create_engine, text

    file = quote(uri.removeprefix(PREFIX)) if uri.startswith(PREFIX) else None
    engine = create_engine(f"{PREFIX}file:{file}?mode=ro&uri=true" if file else uri)
    try:
        with engine.connect() as database:
            return [tuple(row) for row in database.execute(text(query))]
    finally:
        engine.dispose()


def _local(experiments: Iterable[tuple[Any, ...]]) -> dict[str, str]:
    return {name: location for name, location in experiments if folder_at(location)}


def _relocations(locations: Mapping[str, str], artifacts: str) -> Iterator[tuple[str, str]]:
    """Each address outside `artifacts`, a person's own too, with the one there; a renamed share keeps its folder."""
    ours = {name: f"/{name.removeprefix('stockml/')}" for name in locations if name.startswith("stockml/")}
    ends = ours | {"stockml": f"/{ALL_TICKERS}"}
    roots = {locations[name].removesuffix(end) for name, end in ends.items() if locations.get(name, "").endswith(end)}
    for before in locations.values():
        root = max((each for each in {artifacts, *roots} if before.startswith(f"{each}/")), key=len, default=artifacts)
        if root != artifacts:
            yield before, artifacts + before.removeprefix(root)


def folder_at(address: str | None) -> Path | None:
    """The folder at an artifact address; None where MLflow's files are not in a folder of this machine."""
    parts = urlsplit(address or "")
    return _folder(str(address)) if parts.path and parts.scheme in ("", "file") else None


def _folder(address: str) -> Path:
    return Path(url2pathname(urlsplit(address).path))


def _clear_beside(path: Path) -> None:
    for leftover in path.parent.glob(f".{path.name}.making*"):
        leftover.unlink(missing_ok=True)
