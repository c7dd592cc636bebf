"""Old nights in MLflow: some keep only their figures, others go with their models to the trash, then for good.

A champion's run stays if the local promotion history or MLflow's own aliases name it. So do the runs of other homes
that log to the same MLflow, which know their own champions (`is_own`).
"""

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from stockml.errors import TrackingUnavailable
from stockml.tracking.connection import MAX_RESULTS, files_at, reason, without_login, without_password
from stockml.tracking.database import folder_at
from stockml.tracking.runs import experiment_ids, milliseconds

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

IsOwn: TypeAlias = "Callable[[Run], bool]"
CLEARED = "stockml.cleared"
GC_TIMEOUT_S = 3600
NEWEST_FIRST = ["attributes.start_time DESC"]


@dataclass(frozen=True)
class OldRun:
    """A run that may go, its registered versions and logged models, and the bytes of its files if they are local."""

    run_id: str
    name: str
    models: tuple[tuple[str, str], ...]
    logged: tuple[str, ...]
    size: int


def outdated(client: "MlflowClient", before: datetime, kept_keys: Collection[str], is_own: IsOwn) -> tuple[OldRun, ...]:
    """The ended runs begun before `before` that may go, oldest first; each experiment's newest stays."""
    candidates: list[Run] = []
    query = f"attributes.start_time < {milliseconds(before)} AND attributes.status != 'RUNNING'"
    for experiment in experiment_ids(client).values():
        newest = client.search_runs([experiment], order_by=NEWEST_FIRST, max_results=1)
        runs = client.search_runs([experiment], query, max_results=MAX_RESULTS, order_by=["attributes.start_time ASC"])
        candidates += [run for run in runs if run.info.run_id != newest[0].info.run_id and is_own(run)]
    return _removable(client, candidates, kept_keys)


def beyond_newest(client: "MlflowClient", count: int, kept_keys: Collection[str], is_own: IsOwn) -> tuple[OldRun, ...]:
    """The nights that still have files and may go, beyond the newest `count` of each experiment, newest first."""
    candidates: list[Run] = []
    query = "attributes.status = 'FINISHED' AND tags.`stockml.key` LIKE '%'"
    for experiment in experiment_ids(client).values():
        nights = client.search_runs([experiment], query, max_results=MAX_RESULTS, order_by=NEWEST_FIRST)
        candidates += [run for run in list(filter(is_own, nights))[count:] if CLEARED not in run.data.tags]
    return _removable(client, candidates, kept_keys)


def to_trash(client: "MlflowClient", runs: Collection[OldRun]) -> str | None:
    """Delete versions, models and runs; after a kill, the next call continues. Returns one run in the trash."""
    from mlflow.entities import ViewType

    for run in runs:
        _delete_versions(client, run)
        for model_id in run.logged:
            client.delete_logged_model(model_id)
        client.delete_run(run.run_id)
    deleted = client.search_runs([*experiment_ids(client).values()], run_view_type=ViewType.DELETED_ONLY, max_results=1)
    return next((run.info.run_id for run in deleted), None)


def holds(database: str, run_id: str) -> bool:
    """Whether the database is the one behind the page that shows this run."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):
        return bool(MlflowClient(database).get_run(run_id))
    return False


def clear_files(client: "MlflowClient", runs: Collection[OldRun], now: datetime) -> None:
    """Remove the runs' files and models for good, not figures and texts. After a kill, the next call goes on."""
    for run in runs:
        _delete_versions(client, run)
        for model_id in run.logged:
            files_at(client, client.get_logged_model(model_id).artifact_location).delete_artifacts()
            client.delete_logged_model(model_id)
        mlflow_run = client.get_run(run.run_id)
        files_at(client, mlflow_run.info.artifact_uri).delete_artifacts()
        note = mlflow_run.data.tags.get("mlflow.note.content", "").split("\n\n")
        without_plots = "\n\n".join(part for part in note if not part.startswith(("![", "Plots: ")))
        client.set_tag(run.run_id, "mlflow.note.content", without_plots)
        client.set_tag(run.run_id, CLEARED, now.isoformat())


def _delete_versions(client: "MlflowClient", run: OldRun) -> None:
    for name, version in run.models:
        client.delete_model_version(name, version)


def empty_trash(database: str, tracking_uri: str, older_than_days: int) -> None:
    """Remove what is older in MLflow's trash. `database`, with its password, stays off the command line.

    Raises TrackingUnavailable.
    """
    addresses = {"MLFLOW_BACKEND_STORE_URI": database, "MLFLOW_TRACKING_URI": tracking_uri}
    environ = {**os.environ, **addresses, "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "stockml.tracking.retention", "--older-than", f"{older_than_days}d0h0m"]
    process = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=GC_TIMEOUT_S)
    if process.returncode:
        last_line = process.stderr.strip().rpartition("\n")[2]
        why = without_login(tracking_uri, last_line) or f"exit status {process.returncode}"
        raise TrackingUnavailable(without_password(database), f"`mlflow gc` failed: {why}")


def _removable(client: "MlflowClient", runs: Sequence["Run"], kept_keys: Collection[str]) -> tuple[OldRun, ...]:
    """stockml's runs whose key is not in `kept_keys` and whose versions no person needs."""
    ours = (run for run in runs if _is_stockmls(run.data.tags))
    removable = (_removable_run(client, run) for run in ours if run.data.tags.get("stockml.key") not in kept_keys)
    return tuple(run for run in removable if run is not None)


def _removable_run(client: "MlflowClient", run: "Run") -> OldRun | None:
    """The run with its versions and models; None if a version has an alias, or is a person's."""
    run_id = run.info.run_id
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    # a search omits aliases; reading the version gives them
    details = (client.get_model_version(version.name, version.version) for version in versions)
    if any(version.aliases or not _is_stockmls(version.tags) for version in details):
        return None
    logged = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    folders = [run.info.artifact_uri, *(model.artifact_location for model in logged)]
    return OldRun(
        run_id=run_id,
        name=run.info.run_name or run_id,
        models=tuple((version.name, str(version.version)) for version in versions),
        logged=tuple(model.model_id for model in logged),
        size=sum(_size(folder) for folder in folders),
    )


def _is_stockmls(tags: Mapping[str, str]) -> bool:
    """Whether stockml, not a person, made what has these tags."""
    return any(name.startswith("stockml.") for name in tags)


def _size(address: str | None) -> int:
    folder = folder_at(address)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder else 0


if __name__ == "__main__":  # as `mlflow gc`, which takes the database from its arguments only, that all users see
    from mlflow.cli import gc

    try:
        gc(["--backend-store-uri", os.environ["MLFLOW_BACKEND_STORE_URI"], *sys.argv[1:]])
    except Exception as error:  # noqa: BLE001 - in one line, for `empty_trash` to tell
        sys.exit(reason(os.environ["MLFLOW_BACKEND_STORE_URI"], error))
