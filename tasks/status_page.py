"""The status of all tickers on one page in Prefect, updated as nights end.

Not by every night, as the page's cost grows with the tickers: by the last of those that are due, or
by one that finds the page at least a minute old.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_UI_URL
from prefect.states import State

from stockml import clock
from stockml.errors import StockmlError
from stockml.home import current_home
from stockml.nights.frames import write_latest
from stockml.nights.status import known_tickers, markdown, rows
from stockml.tickers import as_key
from stockml.tracking.client import Tracking
from tasks.run_records import NIGHTS, REFUSALS, in_state, keep_end, paginated, runs_of, with_retries

KEY = "status"
LINK = f"[Status of all shares](/artifacts/key/{KEY})"  # for Prefect's pages
EVERY_S = 60.0
PAGE_MARK = "pages-shown"


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
        listed = rows(
            home,
            known_tickers(home) | {*scheduled},
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
        text = f"{markdown(listed, pages)}\n\nAs of {clock.shown(clock.now())}{whose}."
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
        if known_tickers(home):
            Tracking(home).show_overview(lambda links: markdown(listed, links=links))
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
