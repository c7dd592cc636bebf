"""What a run's page in Prefect shows besides its tasks: progress, a night's text and scores, a
table of many nights; and the one page of all tickers' status, updated as nights end.

That not by every night, as the page's cost grows with the tickers: by the last of those that are
due, or by one that finds the page at least a minute old.
"""

import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect import Flow
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.settings import PREFECT_UI_URL
from prefect.states import Completed, Failed, State

from stockml import clock
from stockml.errors import StockmlError
from stockml.home import HomePaths, current_home
from stockml.nights import status
from stockml.nights.frames import write_latest
from stockml.nights.key_figures import newest, night_age
from stockml.nights.record import Night
from stockml.nights.summary import markdown
from stockml.nights.tables import paths
from stockml.nights.universe import PAGE_LEGEND, NightRow, ending, table
from stockml.settings import FailWhen
from stockml.tickers import as_key, without_ticker
from stockml.tracking.client import Tracking
from stockml.tracking.connection import without_password
from stockml.training.checkpoint import EpochProgress
from tasks.run_records import (
    NIGHTS,
    REFUSALS,
    in_state,
    in_words,
    keep_end,
    paginated,
    runs_of,
    with_retries,
)

KEY = "status"
LINK = f"[Status of all shares](/artifacts/key/{KEY})"  # for Prefect's pages
EVERY_S = 60.0
PAGE_MARK = "pages-shown"


@contextmanager
def warned_if_refused(level: int = logging.WARNING) -> Iterator[None]:
    """Log an artifact that Prefect refuses; the run is complete without it."""
    try:
        yield
    except REFUSALS as refused:
        get_run_logger().log(
            level, "Prefect did not take all that this page should show: %s", refused
        )


@warned_if_refused()
def show_text(text: str, key: str | None, description: str) -> None:
    """Show the text, and the way to the status of all."""
    create_markdown_artifact(f"{text}\n\n{LINK}", key=key, description=description)


class ProgressBar:
    """A bar on the run's page, made by its first move; of refusals in a row, the first is a
    warning."""

    def __init__(self, key: str, description: str) -> None:
        self._key, self._description = key, description
        self._artifact: UUID | None = None
        self._level = logging.WARNING

    def move(self, percent: float) -> None:
        with warned_if_refused(self._level):
            self._level = logging.DEBUG
            if self._artifact is None:
                artifact = create_progress_artifact(
                    percent, key=self._key, description=self._description
                )
                # its type allows for a coroutine, given only where it is awaited
                self._artifact = cast(UUID, artifact)
            else:
                update_progress_artifact(self._artifact, progress=min(percent, 100.0))
            self._level = logging.WARNING


def epoch_callback(ticker: str, session: date) -> Callable[[EpochProgress], None]:
    """A callback for each epoch: a log line, and a progress bar that appears with the first.

    The scored network is the first half of the bar, the published one the second.
    """
    bar, logger = (
        ProgressBar(f"training-{as_key(ticker)}", f"training {ticker} {session}"),
        get_run_logger(),
    )

    def on_epoch(row: EpochProgress) -> None:
        losses = f"loss {row.loss:.4f}, validation {row.validation_loss:.4f} ({row.seconds:.1f} s)"
        logger.info(
            "%s: epoch %d of %d, %s", row.network.replace("_", " "), row.epoch, row.epochs, losses
        )
        bar.move(50.0 * ((row.network == "published") + row.epoch / row.epochs))

    return on_epoch


@warned_if_refused()
def show_night(night: Night) -> None:
    """Show the night's card, the forecast's picture and the scores as Markdown, and the paths'
    scores as a table.

    Those of a past or superseded night are on its run's page only: the ticker's name leads to the
    newest night, as the status does.
    """
    age, latest = (
        night_age(current_home().nights, night, clock.now()),
        newest(current_home().nights, night.ticker),
    )
    ticker = as_key(night.ticker) if latest is None or latest.key == night.key else None
    # the spaces that keep MLflow's columns apart would be shown literally here
    text = markdown(night, age=age, pictures=_in_mlflow(night)).replace("&emsp;", " ")
    show_text(text, key=ticker and f"night-{ticker}", description=f"{night.ticker} {night.session}")
    if night.evaluation:
        scores = night.evaluation.scores
        heading, *rows = paths(night).rows
        best_first = sorted(rows, key=lambda row: -(scores[row[0]].skill or 0.0))
        create_table_artifact(
            [dict(zip(heading, row, strict=True)) for row in best_first],
            key=ticker and f"scores-{ticker}",
            description=(
                f"{night.run_name}: same origins, best first; MSE: squared error, scaled; skill: "
                "over the last close"
            ),
        )


@warned_if_refused()
def show_nights(rows: Sequence[NightRow], key: str, description: str) -> None:
    create_table_artifact(
        table(rows), key=key, description=f"{description}\n\n{PAGE_LEGEND}\n\n{LINK}"
    )


def _in_mlflow(night: Night) -> list[str]:
    """The forecast's plot and the run's link, where MLflow's page is up."""
    if not ((pages := mlflow_pages(current_home())) and night.mlflow_run_id):
        return []
    picture = f"{pages}/get-artifact?path=plots%2Fforecast.png&run_uuid={night.mlflow_run_id}"
    link = night.mlflow_run_url or f"{pages}/#/runs/{night.mlflow_run_id}"
    return [f"![the forecast]({picture})", f"[All plots and numbers in MLflow]({link})"]


def mlflow_pages(home: HomePaths) -> str | None:
    """MLflow's page: STOCKML_MLFLOW_PAGE, else the tracking server, else the one of `stockml up`,
    else None.

    Without a password: records of nights and pages link to it.
    """
    server = home.tracking_uri if home.tracking_uri.startswith("http") else ""
    address = without_password(os.environ.get("STOCKML_MLFLOW_PAGE") or server)
    return address.rstrip("/") or home.server("mlflow")


def prefect_page() -> str | None:
    """The address of this flow run's page in Prefect, without a password: night records and MLflow
    link to it."""
    return without_password(flow_run.ui_url) if flow_run.ui_url else None


def row_of(ticker: str, session: date | None, state: State | None) -> NightRow:
    """The row of a night by its end state; None: its process died before it had one."""
    if state is None:
        why = "its worker process died; see the machine's memory"
        return NightRow(ticker, session, "failed", "Crashed", why=why)
    if not state.is_final():  # cancelled while it ran
        return NightRow(
            ticker, session, "failed", state.name or "", why=f"ended in the state {state.name}"
        )
    result = state.result(raise_on_failure=False)
    if isinstance(result, NightRow):
        return result
    if isinstance(result, Night):
        return NightRow.of_night(result, state.name or "")
    why = in_words(result) if isinstance(result, BaseException) else str(result)
    return NightRow(
        ticker, session, "failed", state.name or "Failed", why=without_ticker(ticker, why)
    )


def final_state(
    rows: Sequence[NightRow], fail_when: FailWhen = "all fail", note: str = ""
) -> State:
    name, message = ending(rows, fail_when)
    state = Failed if name == "Failed" else Completed
    return state(name=name, message=message + note, data=list(rows))


def night_callback(key: str, count: int) -> Callable[[], None]:
    """A callback for each night that ended: a log line and a step of the progress bar."""
    began, numbers, bar = (
        time.monotonic(),
        itertools.count(1),
        ProgressBar(f"{key}-progress", "nights that ended"),
    )
    bar.move(0.0)

    def on_night() -> None:
        done = next(numbers)
        get_run_logger().info(
            "%d of %d, %s", done, count, clock.time_left(done, count, time.monotonic() - began)
        )
        bar.move(100.0 * done / count)

    return on_night


def record_end(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:
    """A hook: write how the ticker's run ended, and update the page; a universe updates it for its
    nights."""
    # an invalid ticker, or a full disk, has been reported already
    with suppress(StockmlError, OSError):
        keep_end(flow_run, state, datetime.now(UTC))
        if current_home().in_use and is_due(current_home().locks, lambda: is_last(flow_run)):
            show_status()


def show_status() -> str:
    """Write the newest forecasts' files, and the table into the one artifact `status` and, if
    MLflow answers, there; returns the artifact's address, that of its list if it was not written.

    Never fails its caller; `stockml doctor` reports what cannot be read.
    """
    home, page = current_home(), f"{PREFECT_UI_URL.value() or ''}/artifacts/key/{KEY}"
    with suppress(StockmlError, OSError):
        write_latest(home)
    with suppress(StockmlError, OSError, *REFUSALS), get_client(sync_client=True) as client:
        scheduled = next_nights(client)
        calendars = {ticker: run.parameters.get("calendar") for ticker, run in scheduled.items()}
        listed = status.rows(
            home,
            status.known_tickers(home) | {*scheduled},
            clock.now(),
            next_runs(scheduled),
            calendars,
            scheduled,
        )
        whose = (
            ", the recorded prices' time; runs start by today's clock" if clock.is_frozen() else ""
        )
        pages = {
            row.ticker: f"/artifacts/key/night-{as_key(row.ticker)}"
            for row in listed
            if row.key_figures
        }
        text = f"{status.markdown(listed, pages)}\n\nAs of {clock.shown(clock.now())}{whose}."
        by_key = ArtifactFilter.model_validate({"key": {"any_": [KEY]}})
        artifacts = client.read_artifacts(artifact_filter=by_key, sort=ArtifactSort.CREATED_DESC)
        for twin in artifacts[1:]:  # of a night that ended at the same moment on a new server
            with suppress(ObjectNotFound):
                client.delete_artifact(twin.id)
        if artifacts:
            shown = artifacts[0]
            client.update_artifact(shown.id, ArtifactUpdate(data=text))
        else:
            shown = client.create_artifact(
                ArtifactCreate(key=KEY, type="markdown", data=text, description="All tickers")
            )
        page = f"{PREFECT_UI_URL.value() or ''}/artifacts/artifact/{shown.id}"
        if status.known_tickers(home):
            Tracking(home).show_overview(lambda links: status.markdown(listed, links=links))
    return page


@with_retries
def next_nights(client: SyncPrefectClient) -> dict[str, FlowRun | DeploymentResponse]:
    """Each ticker's next scheduled run, or its deployment if that, or all its schedules, is
    paused."""
    nights: dict[str, FlowRun | DeploymentResponse] = {}
    for run in runs_of(
        client, in_state([StateType.SCHEDULED]), FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC, NIGHTS
    ):
        ticker = run.parameters.get("ticker")
        if run.deployment_id and isinstance(ticker, str):
            nights.setdefault(ticker, run)
    for deployment in paginated(client.read_deployments, flow_filter=NIGHTS):
        ticker, active = (
            deployment.parameters.get("ticker"),
            [schedule.active for schedule in deployment.schedules],
        )
        if isinstance(ticker, str) and (deployment.paused or (active and not any(active))):
            nights.setdefault(ticker, deployment)
    return nights


def next_runs(nights: Mapping[str, FlowRun | DeploymentResponse]) -> dict[str, datetime | None]:
    """The start of each ticker's next scheduled run, from `next_nights`; None of a ticker that is
    paused."""
    return {
        ticker: (night.next_scheduled_start_time or night.expected_start_time)
        if isinstance(night, FlowRun)
        else None
        for ticker, night in nights.items()
    }


def is_last(flow_run: FlowRun) -> bool:
    """Whether no other night follows at once: a universe updates the page at its end, a worker
    takes due runs."""
    if flow_run.parent_task_run_id or flow_run.deployment_id is None:
        return flow_run.parent_task_run_id is None
    due = in_state([StateType.SCHEDULED], next_scheduled_start_time={"before_": datetime.now(UTC)})
    with get_client(sync_client=True) as client:
        return client.count_flow_runs(flow_run_filter=due, flow_filter=NIGHTS) == 0


def is_due(locks: Path, is_last: Callable[[], bool]) -> bool:
    """Whether this night, which has ended, updates the page; `is_last` is asked only if the page is
    fresh."""
    locks.mkdir(parents=True, exist_ok=True)
    mark = locks / PAGE_MARK
    if mark.exists() and time.time() - mark.stat().st_mtime < EVERY_S and not is_last():
        return False
    mark.touch()
    return True
