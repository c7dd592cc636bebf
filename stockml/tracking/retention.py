"""Old nights in MLflow: their models go first, later their runs, by MLflow's trash and `mlflow gc`.

What belongs to a champion stays, by the local promotion history or by an alias, and so does what a
person made.
"""

import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from stockml.errors import TrackingUnavailable
from stockml.home import HomePaths
from stockml.nights.record import night_path
from stockml.tracking import connection
from stockml.tracking.connection import MAX_RESULTS, is_server, reason, without_password
from stockml.tracking.models import KEY
from stockml.tracking.runs import experiment_ids, milliseconds

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

GC_TIMEOUT_S = 3600


@dataclass(frozen=True)
class Removed:
    """The names of the runs that went, and of those that lost their model; where it is not freed
    yet, what to do."""

    runs: tuple[str, ...]
    models: tuple[str, ...]
    advice: str = ""


def remove(
    home: HomePaths,
    *,
    before: datetime,
    newest: int,
    trash_days: int,
    kept_keys: Collection[str],
    dry_run: bool,
) -> Removed:
    """Remove the runs begun before `before`, and the models of nights beyond each ticker's
    `newest`.

    kept_keys: of the nights of champions.  trash_days: for so long, MLflow's trash keeps what went.
    Each experiment's newest run stays. Raises TrackingUnavailable.
    """
    runs, models = list[str](), list[str]()
    with connection.client(home) as client:
        for experiment in experiment_ids(client).values():
            ended = _ended(client, experiment)
            for at, run in enumerate(ended):
                is_old = at > 0 and run.info.start_time < milliseconds(before)
                versions = _versions(client, run)
                if run.data.tags.get(KEY) in kept_keys or not _may_go(home, run, versions):
                    continue
                logged = client.search_logged_models(
                    [experiment], f"source_run_id = '{run.info.run_id}'"
                )
                if not is_old and not (at >= newest and logged):
                    continue
                (runs if is_old else models).append(run.info.run_name or run.info.run_id)
                if dry_run:
                    continue
                for version in versions:
                    client.delete_model_version(version.name, version.version)
                for model in logged:
                    client.delete_logged_model(model.model_id)
                if is_old:
                    client.delete_run(run.info.run_id)
    return Removed(tuple(runs), tuple(models), "" if dry_run else empty_trash(home, trash_days))


def _ended(client: "MlflowClient", experiment: str) -> "list[Run]":
    """The experiment's runs that are not at work, newest first."""
    query, order = "attributes.status != 'RUNNING'", ["attributes.start_time DESC"]
    return list(client.search_runs([experiment], query, max_results=MAX_RESULTS, order_by=order))


def _versions(client: "MlflowClient", run: "Run") -> "list[ModelVersion]":
    """The run's registered versions; a search omits their aliases, reading each gives them."""
    found = client.search_model_versions(f"run_id = '{run.info.run_id}'")
    return [client.get_model_version(version.name, version.version) for version in found]


def _may_go(home: HomePaths, run: "Run", versions: "list[ModelVersion]") -> bool:
    """Whether this home, not another or a person, made the run and all its versions, and none has
    an alias."""
    ticker, key = (run.data.tags.get(name, "") for name in ("stockml.ticker", KEY))
    if key and not night_path(home.nights, ticker, key).exists():
        return False
    is_ours = all(map(_is_stockmls, (run.data.tags, *(version.tags for version in versions))))
    return is_ours and not any(version.aliases for version in versions)


def _is_stockmls(tags: Mapping[str, str]) -> bool:
    return any(name.startswith("stockml.") for name in tags)


def empty_trash(home: HomePaths, trash_days: int) -> str:
    """Have `mlflow gc` free what has been in the trash that long; returns what a person has to do
    instead, or ""."""
    is_own_page = home.tracking_uri == home.server("mlflow")
    database = home.mlflow_database if is_own_page else home.tracking_uri
    if is_server(database):
        return (
            f"to free the space, run `mlflow gc --older-than {trash_days}d` where its server runs"
        )
    # the address, with its password, in the environment: all users see a command's arguments
    environ = {**os.environ, "MLFLOW_TRACKING_URI": database, "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "mlflow", "gc", "--older-than", f"{trash_days}d"]
    ended = subprocess.run(
        command, env=environ, capture_output=True, text=True, check=False, timeout=GC_TIMEOUT_S
    )
    if ended.returncode:
        last = OSError(
            " ".join(ended.stderr.strip().splitlines()[-3:]) or f"exit status {ended.returncode}"
        )
        raise TrackingUnavailable(
            without_password(database), f"`mlflow gc` failed: {reason(database, last)}"
        )
    return ""
