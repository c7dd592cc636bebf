"""MLflow's own SQLite database: made whole, or not there at all.

Imported by `tracking` only; imports mlflow inside functions. MLflow creates its tables in some sixty migrations that
take seconds and are no transaction: killed among them, it leaves a database that it can never open again.
"""

import os
from itertools import count
from pathlib import Path

PREFIX = "sqlite:///"
TRIES = count()  # MLflow keeps a process's connections by address: a try must not find those of one that failed


def make_whole(uri: str, artifacts: str) -> None:
    """Make the database that `uri` names, where it is a missing SQLite file: beside its place, then put there at once.

    `artifacts` is where MLflow's unused default experiment points. To be called by one process at a time.
    """
    path = Path(uri.removeprefix(PREFIX))
    if not uri.startswith(PREFIX) or path.exists():
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


def _clear_beside(path: Path) -> None:
    """Take away what a killed or failed try left."""
    for left in path.parent.glob(f".{path.name}.making*"):
        left.unlink(missing_ok=True)
