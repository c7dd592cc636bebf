"""A night's run in MLflow: found by its key, begun or resumed, filled; an orphan if its process died."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from stockml.home import HomePaths
from stockml.nights.record import Night
from stockml.storage.files import write_atomically
from stockml.storage.locks import file_lock
from stockml.storage.process_marks import is_gone, is_of_this_host, mark
from stockml.tracking import run_content
from stockml.tracking.connection import MAX_RESULTS, without_retries
from stockml.tracking.database import folder_at

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

BATCH = 1000
MAX_LOGGING_TIME = timedelta(hours=2)  # that logging may take, where its process cannot be seen from here
PROCESS, INSTALLATION = "stockml.process", "stockml.installation"
CLAIMED = "stockml.claimed"  # when logging began, in milliseconds; earlier versions' runs lack it


def find_deduplicated(client: "MlflowClient", experiment_id: str, key: str, installation: str) -> "Run | None":
    """The key's run. Duplicates, which this installation created after a lost answer, go to the trash.

    To be called by one process of an installation at a time.
    """
    runs = _runs_of_key(client, experiment_id, key)
    runs.sort(key=lambda run: (run.info.status != "FINISHED", run.info.run_id))
    for twin in runs[1:]:
        if is_of_this_host(twin.data.tags.get(PROCESS)) and not is_of_another(twin, installation):
            client.delete_run(twin.info.run_id)
    return runs[0] if runs else None


def _runs_of_key(client: "MlflowClient", experiment_id: str, key: str) -> "list[Run]":
    return list(client.search_runs([experiment_id], f"tags.`stockml.key` = '{key}'"))


def installation(home: HomePaths) -> str:
    """The id that tells this home, on any machine, from others that log to the same MLflow; remade if damaged."""
    path = home.nights / ".installation"
    with file_lock(home.locks / "installation.lock", timeout_s=60):
        if not path.exists() or not re.fullmatch(rb"[0-9a-f]{32}", path.read_bytes()):
            write_atomically(path, uuid4().hex.encode())
        return path.read_text()


def is_of_another(run: "Run", installation: str) -> bool:
    """Whether another installation, which logs to the same MLflow, may be at work on this run."""
    is_its_own = run.data.tags.get(INSTALLATION, installation) == installation
    return run.info.status == "RUNNING" and not is_its_own and not _is_orphaned(run, datetime.now(UTC))


def start_or_resume(
    client: "MlflowClient", experiment_id: str, night: Night, run: "Run | None", installation: str
) -> "Run | None":
    """The key's run, RUNNING and marked as this process's; None if another installation is at work on that key."""
    claim = {PROCESS: mark(), INSTALLATION: installation, CLAIMED: str(milliseconds(datetime.now(UTC)))}
    if run is None:
        tags = {**run_content.tags(night), **claim}
        start = milliseconds(night.finished_at) - int(night.seconds * 1000)
        with without_retries():
            run = client.create_run(experiment_id, start_time=start, tags=tags, run_name=night.run_name)
        if len(_runs_of_key(client, experiment_id, night.key)) > 1:  # begun by another at the same moment
            client.delete_run(run.info.run_id)
            return None
        return run
    if is_of_another(run, installation):
        return None
    for name, value in claim.items():
        client.set_tag(run.info.run_id, name, value)
    client.update_run(run.info.run_id, status="RUNNING")
    return run


def fill(client: "MlflowClient", run: "Run", night: Night) -> None:
    """Log parameters, tags, metrics, the bars and the plots; logging them again gives the same values."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    run_id, at = run.info.run_id, milliseconds(night.finished_at)
    note = run_content.description(night, run.info.experiment_id, run_id)
    tags = {**run_content.tags(night), "mlflow.note.content": note}
    log_points(client, run_id, run_content.points(night, at), tags, run_content.params(night))
    bars = DatasetInput(Dataset(**run_content.dataset(night)), [InputTag("mlflow.data.context", "training")])
    client.log_inputs(run_id, datasets=[bars])
    log_plots(client, run, night)
    for name, text in (("decision.json", run_content.decision(night)), ("night.json", run_content.night_json(night))):
        if folder := folder_at(run.info.artifact_uri):
            write_atomically(folder / name, text.encode())
        else:
            client.log_text(run_id, text, name)


def log_plots(client: "MlflowClient", run: "Run", night: Night) -> None:
    """Log the night's drawn figures, as hard links if MLflow's files are on the same disk."""
    if not (night.plots_folder and (figures := sorted(Path(night.plots_folder).glob("*.png")))):
        return
    if artifacts := folder_at(run.info.artifact_uri):
        with suppress(OSError):  # another disk, or one without hard links
            _link(figures, artifacts / "plots")
            return
    client.log_artifacts(run.info.run_id, night.plots_folder, "plots")


def _link(figures: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in figures:
        beside = folder / f".{path.name}.{os.getpid()}"
        os.link(path, beside)
        os.replace(beside, folder / path.name)
        beside.unlink(missing_ok=True)  # `replace` does nothing if both link to one file, and leaves this


def log_points(
    client: "MlflowClient",
    run_id: str,
    points: list[run_content.Point],
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, object] | None = None,
) -> None:
    """Log in as few batches as MLflow accepts; tags and parameters come with the first."""
    from mlflow.entities import Metric, Param, RunTag

    mlflow_params = [Param(name, str(value)) for name, value in (params or {}).items()]
    mlflow_tags = [RunTag(name, value) for name, value in (tags or {}).items()]
    first = BATCH - len(mlflow_params) - len(mlflow_tags)
    client.log_batch(run_id, [Metric(*point) for point in points[:first]], mlflow_params, mlflow_tags)
    for start in range(first, len(points), BATCH):
        client.log_batch(run_id, [Metric(*point) for point in points[start : start + BATCH]])


def orphans(client: "MlflowClient", now: datetime) -> "list[Run]":
    """Nights' runs marked RUNNING whose process on this host is gone, or that began elsewhere hours ago."""
    query = "attributes.status = 'RUNNING' AND tags.`stockml.key` LIKE '%'"
    return [run for run in client.search_runs([*experiment_ids(client).values()], query) if _is_orphaned(run, now)]


def experiment_ids(client: "MlflowClient") -> dict[str, str]:
    """The ids of all experiments by name (tickers, bases, trials, tutorials), but for the one of all tickers."""
    experiments = client.search_experiments(max_results=MAX_RESULTS, filter_string="name LIKE 'stockml/%'")
    return {experiment.name.removeprefix("stockml/"): experiment.experiment_id for experiment in experiments}


def _is_orphaned(run: "Run", now: datetime) -> bool:
    process, claimed = run.data.tags.get(PROCESS), int(run.data.tags.get(CLAIMED, run.info.start_time))
    return is_gone(process) if is_of_this_host(process) else claimed < milliseconds(now - MAX_LOGGING_TIME)


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
