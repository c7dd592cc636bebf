"""Prefect's own records of runs: finding them, putting one off, and ending them from outside."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_SERVER_API_DEFAULT_LIMIT
from prefect.states import AwaitingRetry, State
from prefect.utilities.engine import propose_state_sync

from stockml.errors import StockmlError
from stockml.home import home
from stockml.nights.status import Attempt, keep_attempt, last_attempt
from stockml.storage.sharing import commit_ended
from stockml.tickers import validated_ticker

T = TypeVar("T")

NIGHTLY = "nightly"  # the flow
NIGHTS = FlowFilter.model_validate({"name": {"any_": [NIGHTLY]}})
UNFINISHED = (StateType.RUNNING, StateType.CANCELLING)


def in_state(types: Sequence[StateType], **more: Any) -> FlowRunFilter:
    """A filter for runs in a state of these types; `more`: other fields of Prefect's filter, as in JSON."""
    return FlowRunFilter.model_validate({"state": {"type": {"any_": list(types)}}, **more})


def runs_of(
    client: SyncPrefectClient, wanted: FlowRunFilter, sort: FlowRunSort | None = None, flows: FlowFilter | None = None
) -> Iterator[FlowRun]:
    return all_of(client.read_flow_runs, flow_filter=flows, flow_run_filter=wanted, sort=sort)


def all_of(read: Callable[..., list[T]], **filters: Any) -> Iterator[T]:
    """What the client's method finds on all pages, each read only when it is needed."""
    size = PREFECT_SERVER_API_DEFAULT_LIMIT.value()
    for offset in count(0, size):
        yield from (page := read(limit=size, offset=offset, **filters))
        if len(page) < size:
            return


def name_of(run: FlowRun) -> str:
    """The run's name, with its ticker if the flow had not yet begun: Prefect's own names say nothing."""
    ticker = str(run.parameters.get("ticker") or "")
    return run.name if ticker in run.name else f"{ticker} ({run.name})"


def put_off(client: SyncPrefectClient, run_id: UUID, due: datetime, message: str) -> State:
    """Put a worker's run back into the queue, AwaitingRetry until `due`; returns its state then. Raises Abort."""
    # if cancelled with a process on record, it would wait for ever for that one, which has ended
    client.request("PATCH", "/flow_runs/{id}", path_params={"id": run_id}, json={"infrastructure_pid": None})
    state: State = AwaitingRetry(scheduled_time=due, message=message)
    return propose_state_sync(client, state, flow_run_id=run_id)


def end(client: SyncPrefectClient, run: FlowRun, state: State) -> None:
    """Put a run, and those of its tasks that are marked as running, into this state."""
    end_tasks(client, run, state)
    client.set_flow_run_state(run.id, state, force=True)
    if client.read_flow(run.flow_id).name == NIGHTLY:
        with suppress(StockmlError, OSError):  # an invalid ticker, or a full disk
            keep_end(run, state, run.start_time or run.expected_start_time or datetime.now(UTC))


def end_tasks(client: SyncPrefectClient, run: FlowRun, state: State) -> None:
    at_work = {"type": {"any_": [StateType.RUNNING, StateType.PENDING]}}
    in_it = TaskRunFilter.model_validate({"flow_run_id": {"any_": [run.id]}, "state": at_work})
    for task_run in tuple(all_of(client.read_task_runs, task_run_filter=in_it)):
        client.set_task_run_state(task_run.id, state, force=True)


def end_children(parent: UUID, state: State) -> None:
    """Put the unfinished runs within a run whose workers are gone into this state."""
    wanted = in_state((*UNFINISHED, StateType.PENDING), parent_flow_run_id={"any_": [parent]})
    with get_client(sync_client=True) as client:
        for run in tuple(runs_of(client, wanted)):
            end(client, run, state)


def keep_end(run: FlowRun, state: State, at: datetime) -> None:
    """Keep how the ticker's night ended, unless a later end is kept. Raises StockmlError, OSError."""
    ticker = validated_ticker(str(run.parameters.get("ticker") or ""))
    kept = last_attempt(home().nights, ticker)
    if kept is None or kept.at <= at:
        why = " ".join((state.message or "").split()).removeprefix("Flow run encountered an exception: ")
        name = "Cancelled" if state.is_cancelling() else state.name or ""  # a worker's hook runs before the end state
        keep_attempt(home().nights, ticker, Attempt(name, why, at))
        commit_ended(home(), ticker)
