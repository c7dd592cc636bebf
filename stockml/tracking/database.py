"""MLflow's own SQLite database: made whole, or not there at all.

MLflow creates its tables in some sixty migrations that take seconds and are no transaction: killed among them, it
leaves a database that it can never open again.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import count
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from stockml.storage.sqlite_files import fault_of

PREFIX = "sqlite:///"
ALL_TICKERS = "all-tickers"  # the folder of the experiment `stockml`, which has the track records
TRIES = count()  # MLflow keeps a process's connections by address: a try must not find those of one that failed

ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
LOCATIONS = "SELECT name, artifact_location FROM experiments WHERE name || '/' LIKE 'stockml/%'"
WITH_FILES = """
SELECT DISTINCT experiments.name FROM experiments JOIN runs USING (experiment_id)
JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = 'stockml.key'
WHERE runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active'
AND runs.run_uuid NOT IN (SELECT run_uuid FROM tags WHERE key = 'stockml.cleared')
"""


def make_whole(uri: str, artifacts: str) -> None:
    """Make the database that `uri` names, where it is a missing SQLite file: beside its place, then put there at once.

    One that is there follows its home; one that is damaged raises sqlite3.DatabaseError. One process at a time.
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
    """Let runs and models point to a moved home's artifacts: MLflow keeps full addresses, and writes on there."""
    if not artifacts.startswith("file:"):
        return
    with closing(sqlite3.connect(path, timeout=60)) as database, database:
        for before, now in _moved(_on_this_machine(database.execute(LOCATIONS).fetchall()), artifacts):
            if _folder(now).is_dir() or not _folder(before).exists():
                for table, column in ADDRESSES:
                    database.execute(
                        f"UPDATE {table} SET {column} = :now || substr({column}, length(:before) + 1) "
                        f"WHERE {column} = :before OR substr({column}, 1, length(:before) + 1) = :before || '/'",
                        {"now": now, "before": before},
                    )


def missing_folders(uri: str, artifacts: str) -> list[Path]:
    """Where MLflow looks for files of nights, and nothing is, nor where the home's artifacts are now.

    To there only the addresses in an SQLite file follow. Nothing of it is changed. Raises SQLAlchemyError.
    """
    from sqlalchemy import create_engine, text

    file = quote(uri.removeprefix(PREFIX)) if uri.startswith(PREFIX) else None
    engine = create_engine(f"{PREFIX}file:{file}?mode=ro&uri=true" if file else uri)
    try:
        with engine.connect() as database:
            locations = _on_this_machine((name, place) for name, place in database.execute(text(LOCATIONS)))
            with_files = set(database.execute(text(WITH_FILES)).scalars())
    finally:
        engine.dispose()
    moved = dict(_moved(locations, artifacts.rstrip("/"))) if file else {}
    looked = {name: [before, moved.get(before, before)] for name, before in locations.items() if name in with_files}
    return [_folder(each[0]) for each in looked.values() if not any(_folder(place).is_dir() for place in each)]


def _on_this_machine(experiments: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: place for name, place in experiments if urlsplit(place).scheme in ("", "file")}


def _moved(locations: Mapping[str, str], artifacts: str) -> Iterator[tuple[str, str]]:
    """Each address that is not below `artifacts`, and which it would have there; that of a renamed share is its old."""
    ends = {name: f"/{name.removeprefix('stockml/')}" for name in locations} | {"stockml": f"/{ALL_TICKERS}"}
    roots = {place.removesuffix(ends[name]) for name, place in locations.items() if place.endswith(ends[name])}
    for before in locations.values():
        root = max((each for each in roots if before.startswith(f"{each}/")), key=len, default=artifacts)
        if root != artifacts:
            yield before, artifacts + before.removeprefix(root)


def _folder(address: str) -> Path:
    return Path(url2pathname(urlsplit(address).path))


def _clear_beside(path: Path) -> None:
    for left in path.parent.glob(f".{path.name}.making*"):
        left.unlink(missing_ok=True)
