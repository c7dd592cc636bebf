"""MLflow's own SQLite database: made whole, or not there at all.

Imported by `tracking` only; imports mlflow inside functions. MLflow creates its tables in some sixty migrations that
take seconds and are no transaction: killed among them, it leaves a database that it can never open again.
"""

import os
from pathlib import Path

PREFIX = "sqlite:///"


def make_whole(uri: str, artifacts: str) -> None:
    """Make the database that `uri` names, where it is a missing SQLite file: beside its place, then put there at once.

    `artifacts` is where MLflow's unused default experiment points. To be called by one process at a time.
    """
    path = Path(uri.removeprefix(PREFIX))
    if not uri.startswith(PREFIX) or path.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.making")
    for left in path.parent.glob(f"{beside.name}*"):
        left.unlink()
    SqlAlchemyStore(f"{PREFIX}{beside}", artifacts).engine.dispose()  # type: ignore[no-untyped-call]
    with beside.open("rb") as made:
        os.fsync(made.fileno())
    os.replace(beside, path)
