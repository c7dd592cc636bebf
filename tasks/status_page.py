"""The status of all tickers on one page of Prefect's, brought up to date as nights end.

Not by each: the page costs as much as there are tickers, and five hundred nights would cost their square. The last one
at work does it, or one that finds the page a minute old.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.states import State

from stockml import clock
from stockml.errors import StockmlError, TrackingUnavailable
from stockml.home import home
from stockml.nights.status import Attempt, keep_attempt, known_tickers, markdown, rows
from stockml.storage.shared_state import Depth
from stockml.storage.sharing import commit_ended, refresh
from stockml.tickers import validated_ticker
from stockml.tracking.client import Tracking
from tasks.run_records import in_state, runs_of

KEY = "status"
EVERY_S = 60.0
AT_WORK, SHOWN = "nights-at-work", "pages-shown"


def remember(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:
    """A hook: keep how the ticker's run ended, and bring the page up to date; a universe does that for its nights."""
    with suppress(StockmlError, OSError):  # a ticker that is none, or a full disk, has been said already
        ticker = validated_ticker(str(flow_run.parameters.get("ticker") or ""))
        why = " ".join((state.message or "").split())
        if not home().in_use:
            return  # a run that failed before anything was kept makes no home
        keep_attempt(home().nights, ticker, Attempt(state.name or "", why, datetime.now(UTC)))
        commit_ended(home(), ticker)
        if is_due(home().locks, last_one=flow_run.parent_task_run_id is None):
            show_status()


def show_status() -> None:
    """Write the table into the one artifact `status`, and above all tickers in MLflow, where it answers."""
    place = home()
    refresh(place, depth=Depth.STATUS)
    with get_client(sync_client=True) as client:
        scheduled = next_runs(client)
        listed = rows(place, known_tickers(place) | set(scheduled), clock.now(), scheduled)
        text = f"## Status\n\n{markdown(listed)}\n\nAs of {clock.now():%Y-%m-%d %H:%M} UTC."
        wanted = ArtifactFilter.model_validate({"key": {"any_": [KEY]}})
        kept = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=1)
        if kept:
            client.update_artifact(kept[0].id, ArtifactUpdate(data=text))
        else:
            client.create_artifact(ArtifactCreate(key=KEY, type="markdown", data=text, description="All tickers"))
    if known_tickers(place):
        with suppress(TrackingUnavailable):
            Tracking.of(place).show_overview(lambda links: markdown(listed, links=links))


def next_runs(client: SyncPrefectClient) -> dict[str, datetime]:
    """The start of each ticker's next scheduled run."""
    found: dict[str, datetime] = {}
    for run in runs_of(client, in_state([StateType.SCHEDULED]), FlowRunSort.EXPECTED_START_TIME_ASC):
        ticker, start = run.parameters.get("ticker"), run.next_scheduled_start_time or run.expected_start_time
        if run.deployment_id and isinstance(ticker, str) and start:
            found.setdefault(ticker, start)
    return found


@contextmanager
def at_work(locks: Path) -> Iterator[None]:
    """A night of this machine's is at work; a process that is killed is not."""
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / AT_WORK).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def is_due(locks: Path, *, last_one: bool = True) -> bool:
    """Whether this night, which has ended, brings the pages up to date; the next is then asked again after a minute.

    last_one: whether it does as the last one at work, too.
    """
    locks.mkdir(parents=True, exist_ok=True)
    shown = locks / SHOWN
    fresh = shown.exists() and time.time() - shown.stat().st_mtime < EVERY_S
    if fresh and not (last_one and _is_nobody_at_work(locks)):
        return False
    shown.touch()
    return True


def _is_nobody_at_work(locks: Path) -> bool:
    with (locks / AT_WORK).open("ab") as file, suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
