"""A night's run in MLflow: found by its key, begun or resumed, filled; and track records, one run
per ticker in the experiment `stockml`, one step per session, by its last finished night.

Of old nights the models go first, later the runs, by MLflow's trash and `mlflow gc`. What belongs
to a champion stays, by the local promotion history or by an alias, and so does what a person made.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import chain
from typing import TYPE_CHECKING, Any

from stockml.errors import TrackingUnavailable
from stockml.home import HomePaths
from stockml.nights.key_figures import KeyFigures
from stockml.nights.record import Night, night_path
from stockml.redaction import escape_markdown
from stockml.tracking import connection, run_content
from stockml.tracking.connection import (
    MAX_RESULTS,
    is_server,
    reason,
    without_password,
    without_retries,
)
from stockml.tracking.models import KEY
from stockml.tracking.views import NOTE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

BATCH = 100  # of more at once, MLflow 3.17 refuses a model's metrics that it has already


def find(client: "MlflowClient", experiment_id: str, key: str) -> "Run | None":
    """The run of the night with this key."""
    runs = client.search_runs([experiment_id], f"tags.`stockml.key` = '{key}'", max_results=1)
    return next(iter(runs), None)


def begin_or_resume(
    client: "MlflowClient", experiment_id: str, night: Night, run: "Run | None"
) -> "Run":
    """The night's run, RUNNING: a new one, or that of a killed attempt."""
    if run is not None:
        client.update_run(run.info.run_id, status="RUNNING")
        return run
    start = milliseconds(night.finished_at) - int(night.seconds * 1000)
    with without_retries():
        return client.create_run(experiment_id, start, run_content.tags(night), night.run_name)


def fill(client: "MlflowClient", run: "Run", night: Night, model_id: str | None) -> None:
    """Log parameters, tags, metrics, the bars and the plots; again, it gives the same values.

    model_id: of the model that tonight's figures are of, by which MLflow ranks models.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    run_id, bars = run.info.run_id, Dataset(**run_content.dataset(night))
    client.log_inputs(
        run_id, datasets=[DatasetInput(bars, [InputTag("mlflow.data.context", "training")])]
    )
    note = run_content.description(night, run.info.experiment_id, run_id)
    points = run_content.points(night, milliseconds(night.finished_at))
    tags = {**run_content.tags(night), NOTE: note}
    of_model: dict[str, Any] = {
        "model_id": model_id,
        "dataset_name": bars.name,
        "dataset_digest": bars.digest,
    }
    log_points(client, run_id, points, tags, run_content.params(night), **of_model)
    if night.plots_folder and run_content.plot_names(night):
        client.log_artifacts(run_id, night.plots_folder, "plots")
    client.log_text(run_id, run_content.scores(night), "scores.csv")
    client.log_text(run_id, run_content.night_json(night), "night.json")


def log_points(
    client: "MlflowClient",
    run_id: str,
    points: list[run_content.Point],
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, object] | None = None,
    **of_model: Any,
) -> None:
    """Log in batches that MLflow accepts; again, it adds nothing.

    of_model: the model and the dataset that the points are of, as arguments of MLflow's `Metric`.
    """
    from mlflow.entities import Metric, Param, RunTag

    metrics = [Metric(*point, **of_model) for point in points]
    mlflow_params = [Param(name, str(value)) for name, value in (params or {}).items()]
    mlflow_tags = [RunTag(name, value) for name, value in (tags or {}).items()]
    client.log_batch(run_id, [], mlflow_params, mlflow_tags)
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics[start : start + BATCH])


def experiment_ids(client: "MlflowClient") -> dict[str, str]:
    """The ids of all experiments by name (tickers, pretrained networks, trials, tutorials), without
    `stockml`."""
    ours = "name LIKE 'stockml/%'"
    experiments = client.search_experiments(max_results=MAX_RESULTS, filter_string=ours)
    return {each.name.removeprefix("stockml/"): each.experiment_id for each in experiments}


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@dataclass(frozen=True)
class TrackRecord:
    """The run of a ticker's record. One process per ticker at a time."""

    client: "MlflowClient"
    experiment_id: str
    ticker: str

    def write(
        self, key_figures: KeyFigures, earlier: Callable[[], Iterable[KeyFigures]], page: str
    ) -> None:
        """Add the session's figures, of its last finished night, in place of other figures logged
        for it.

        earlier: gives the ticker's other sessions, needed unless this is the newest.  page: the
        link to its nights.
        """
        run = self._finished_run()
        if run and str(key_figures.session) > run.data.tags["session"]:
            log_points(
                self.client, run.info.run_id, record_points(key_figures), _tags(key_figures, page)
            )
            return
        by_end = sorted([*earlier(), key_figures], key=lambda figures: figures.finished_at)
        nights = {figures.session: figures for figures in by_end}
        if run:
            self._insert(run, nights, key_figures.session, page)
        else:
            all_points = [point for figures in nights.values() for point in record_points(figures)]
            self._begin(nights, all_points, _tags(nights[max(nights)], page))

    def _finished_run(self) -> "Run | None":
        """The ticker's finished run; what a killed process left unfinished, or failed to delete,
        goes to the trash.

        So does one whose tag of the newest session a person deleted: it is made again from the
        nights' records.
        """
        runs = self.client.search_runs([self.experiment_id], f"tags.ticker = '{self.ticker}'")
        finished = [
            run for run in runs if run.info.status == "FINISHED" and "session" in run.data.tags
        ][:1]
        for run in runs:
            if run not in finished:
                self.client.delete_run(run.info.run_id)
        return next(iter(finished), None)

    def _begin(
        self,
        nights: Mapping[date, KeyFigures],
        measured: list[run_content.Point],
        tags: Mapping[str, str],
    ) -> None:
        """Begin a run, as of when the nights ended and not their sessions."""
        times = [milliseconds(figures.finished_at) for figures in nights.values()]
        with without_retries():
            run = self.client.create_run(self.experiment_id, min(times), dict(tags), self.ticker)
        log_points(self.client, run.info.run_id, measured)
        self.client.set_terminated(run.info.run_id, "FINISHED", end_time=max(times))

    def _insert(
        self, run: "Run", nights: Mapping[date, KeyFigures], session: date, page: str
    ) -> None:
        """Add an earlier session; if other figures are logged for it, which cannot be changed,
        begin a new run.

        That one gets every session's record at once.
        """
        run_id, newest = run.info.run_id, run.data.tags["session"]
        measurements = [
            point
            for name in run.data.metrics
            for point in self.client.get_metric_history(run_id, name)
        ]
        logged = [(point.key, point.value, point.timestamp, point.step) for point in measurements]
        expected = {
            step_of(day): record_points(key_figures)
            for day, key_figures in nights.items()
            if str(day) <= newest
        }
        of_session = [point for point in logged if point[3] == step_of(session)]
        if not of_session:
            log_points(self.client, run_id, expected[step_of(session)])
        elif sorted(of_session) != sorted(expected[step_of(session)]):
            others = [point for point in logged if point[3] not in expected]
            tags = _tags(nights[session], page) if str(session) == newest else run.data.tags
            self._begin(nights, [*others, *chain.from_iterable(expected.values())], tags)
            self.client.delete_run(run_id)


def record_points(key_figures: KeyFigures) -> list[run_content.Point]:
    """The session's figures; step: its date as a number; time: its noon in UTC, by which the page
    draws."""
    at, step = (
        milliseconds(datetime.combine(key_figures.session, time(12), UTC)),
        step_of(key_figures.session),
    )
    return run_content.metric_points(key_figures.metrics(), at, step)


def step_of(session: date) -> int:
    """20130301 for 2013-03-01."""
    return int(f"{session:%Y%m%d}")


def _tags(newest: KeyFigures, page: str) -> dict[str, str]:
    note = (
        f"{newest.ticker}'s track record: a step a session (its date as YYYYMMDD), in percent. "
        f"Newest: {newest.session}, {escape_markdown(newest.headline)}. [Every night]({page})"
    )
    values = {
        "ticker": newest.ticker,
        "session": str(newest.session),
        "verdict": {True: "promoted", False: "not promoted", None: ""}[newest.promoted],
        "published": newest.headline,
        **run_content.SOURCE,
        NOTE: note,
    }
    return {name: value for name, value in values.items() if value}


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
