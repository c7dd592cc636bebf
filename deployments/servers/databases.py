"""The two servers' own SQLite databases: what is wrong with one, and what of it can be made again."""

from collections.abc import Iterator

from stockml.errors import StoreError
from stockml.home import Home
from stockml.storage.sqlite_files import fault_of


def faults(home: Home, *, thorough: bool = False) -> Iterator[StoreError]:
    """What keeps Prefect or MLflow from their databases in this home, with the way back."""
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
            yield StoreError(str(path), f"expected a database, found {fault}; it was left as it is: {way_back}")


def check(home: Home) -> None:
    """Raises StoreError for the first fault, before a server answers everything with an error of its own."""
    for fault in faults(home):
        raise fault
