"""Prefect's own records of runs: beginning one here, finding them, putting one off, and ending them from outside."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from json import JSONDecodeError
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

from httpx import HTTPError, HTTPStatusError
from prefect import Flow, Task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter, TaskRunFilter
from prefect.client.schemas.objects import FlowRun, StateType, TaskRunResult
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext, TaskRunContext
from prefect.events.related import RESOURCE_CACHE
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_SERVER_API_DEFAULT_LIMIT
from prefect.states import AwaitingRetry, Running, State
from prefect.types._datetime import now
from prefect.utilities.callables import get_call_parameters
from prefect.utilities.engine import propose_state_sync
from pydantic import ValidationError
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from stockml import clock
from stockml.errors import StockmlError
from stockml.home import current_home
from stockml.nights.key_figures import newest
from stockml.nights.status import LastRun, last_run, record_run
from stockml.prices.calendar import sessions_for
from stockml.storage.process_marks import is_gone, mark
from stockml.tickers import validated_ticker
from tasks.short_runs import adapt_engine

T = TypeVar("T")

A_DAY = timedelta(days=1)
WRONG = HTTPStatusError, JSONDecodeError, ValidationError  # answers, after which Prefect's client does not ask again
REFUSALS = HTTPError, *WRONG  # of Prefect's server, or of a program between
with_retries = retry(retry=retry_if_exception_type(WRONG), stop=stop_after_attempt(3), reraise=True)
NIGHTLY = "nightly"  # the flow
NIGHTS = FlowFilter.model_validate({"name": {"any_": [NIGHTLY]}})
UNFINISHED = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
WORKERS_RUN = "PREFECT__FLOW_RUN_ID"  # in the environment of a run that a worker has started


def run_on_page(flow: Flow[..., Any], deployment: str | None, *arguments: Any, **keywords: Any) -> State:
    """Run the flow here and now; returns its end state. `deployment`: on whose page it is shown, if it exists."""
    adapt_engine()
    parameters = get_call_parameters(flow.fn, arguments, keywords)
    run = _created_run(flow, deployment, arguments, keywords, str(uuid4())) if deployment else None
    return cast(State, run_flow(flow, flow_run=run, parameters=parameters, return_type="state"))


@with_retries
def _created_run(
    flow: Flow[..., Any], deployment: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any], request_key: str
) -> FlowRun | None:
    """A run of the deployment, Running already, so that no worker takes it; None if there is no such deployment.

    request_key: a request repeated after a lost answer gets the same run.
    """
    passed = get_call_parameters(flow.fn, arguments, dict(keywords), apply_defaults=False)
    # None stands for the default, which has another type in the form that the server checks by
    parameters = flow.serialize_parameters({name: value for name, value in passed.items() if value is not None})
    with suppress(ObjectNotFound, PrefectHTTPStatusError), get_client(sync_client=True) as client:
        target = client.read_deployment_by_name(f"{flow.name}/{deployment}")
        # parameters that are not passed have the form's defaults, not the deployment's
        empty: dict[str, Any] = {"settings": {}, "calendar": ""}
        defaults = {name: empty[name] for name in empty.keys() & target.parameters.keys()}
        parameters, parent = {**defaults, **parameters}, _parent(client, flow, request_key)
        run = client.create_flow_run_from_deployment(
            target.id, parameters=parameters, state=Running(), parent_task_run_id=parent, idempotency_key=request_key
        )
        record_process(run.id)
        return run
    return None


def _parent(client: SyncPrefectClient, flow: Flow[..., Any], dynamic_key: str) -> Any:
    """The task run that represents a subflow in its parent, made as Prefect does; None without a parent."""
    flow_context, task_context = FlowRunContext.get(), TaskRunContext.get()
    if flow_context is None or flow_context.flow_run is None:
        return None
    inputs: Any = {"__parents__": [TaskRunResult(id=task_context.task_run.id)]} if task_context else {}
    return client.create_task_run(Task(fn=flow.fn), flow_context.flow_run.id, dynamic_key, task_inputs=inputs).id


def record_process(run_id: UUID) -> None:
    """Record which process works on a run: once that is gone, the run is known to be dead.

    A worker does this for the runs that it starts. While the server is away, nothing is recorded.
    """
    if os.environ.get(WORKERS_RUN) == str(run_id):
        return
    with suppress(ObjectNotFound, *REFUSALS), get_client(sync_client=True) as client:
        process = client.read_flow_run(run_id).infrastructure_pid
        if process is None or is_gone(process):
            client.update_flow_run(run_id, infrastructure_pid=mark())


def drop_related_resources() -> None:
    """Let this run's task events name only the run; its own events name its flow, deployment, queue and pool.

    Prefect would look these up, and store a row of each with each event: half of a night's rows in its database.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    fetched_at: Any = now("UTC")
    if run:
        ids = {"flow": run.flow_id, "deployment": run.deployment_id, "work-queue": run.work_queue_id}
        for kind, identity in {**ids, "work-pool": run.work_pool_name}.items():
            RESOURCE_CACHE[f"{kind}.{identity}"] = {"kind": kind, "object": None}, fetched_at


def in_state(types: Sequence[StateType], **more: Any) -> FlowRunFilter:
    """A filter for runs in a state of these types; `more`: other fields of Prefect's filter, as in JSON."""
    return FlowRunFilter.model_validate({"state": {"type": {"any_": list(types)}}, **more})


@with_retries
def is_due_again() -> bool:
    """Whether another run of this run's deployment is due too, as after days of sleep of its machine."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None:
        return False
    due = {"deployment_id": {"any_": [run.deployment_id]}, "expected_start_time": {"before_": datetime.now(UTC)}}
    with get_client(sync_client=True) as client:
        return client.count_flow_runs(flow_run_filter=in_state([StateType.SCHEDULED], **due)) > 0


def runs_of(
    client: SyncPrefectClient, runs: FlowRunFilter, sort: FlowRunSort | None = None, flows: FlowFilter | None = None
) -> Iterator[FlowRun]:
    return paginated(client.read_flow_runs, flow_filter=flows, flow_run_filter=runs, sort=sort)


def paginated(read: Callable[..., list[T]], **filters: Any) -> Iterator[T]:
    """The items on all pages of the client's method, each read only when needed."""
    size = PREFECT_SERVER_API_DEFAULT_LIMIT.value()
    for offset in count(0, size):
        yield from (page := read(limit=size, offset=offset, **filters))
        if len(page) < size:
            return


def name_of(run: FlowRun) -> str:
    """The run's name, with its ticker if the flow had not yet begun: Prefect's own names say nothing."""
    ticker = str(run.parameters.get("ticker") or "")
    return run.name if ticker in run.name else f"{ticker} ({run.name})"


def reschedule(client: SyncPrefectClient, run_id: UUID, due: datetime, message: str) -> State:
    """Put a worker's run back into the queue, AwaitingRetry until `due`; returns its state then. Raises Abort."""
    # if cancelled with a process on record, it would wait for ever for that one, which has ended
    client.request("PATCH", "/flow_runs/{id}", path_params={"id": run_id}, json={"infrastructure_pid": None})
    state: State = AwaitingRetry(scheduled_time=due, message=message)
    return propose_state_sync(client, state, flow_run_id=run_id)


def end(client: SyncPrefectClient, run: FlowRun, state: State) -> None:
    """Put a run, and its unfinished tasks, into this state."""
    end_tasks(client, run, state)
    client.set_flow_run_state(run.id, state, force=True)
    if client.read_flow(run.flow_id).name == NIGHTLY:
        with suppress(StockmlError, OSError):  # an invalid ticker, or a full disk
            keep_end(run, state, run.start_time or run.expected_start_time or datetime.now(UTC))


def end_tasks(client: SyncPrefectClient, run: FlowRun, state: State) -> None:
    unfinished = {"type": {"any_": [StateType.RUNNING, StateType.PENDING]}}
    of_run = TaskRunFilter.model_validate({"flow_run_id": {"any_": [run.id]}, "state": unfinished})
    for task_run in tuple(paginated(client.read_task_runs, task_run_filter=of_run)):
        client.set_task_run_state(task_run.id, state, force=True)


def end_children(parent: UUID, state: State) -> None:
    """Put the unfinished subflows of a run whose workers are gone into this state."""
    children = in_state(UNFINISHED, parent_flow_run_id={"any_": [parent]})
    with get_client(sync_client=True) as client:
        for run in tuple(runs_of(client, children)):
            end(client, run, state)


def keep_end(run: FlowRun, state: State, at: datetime) -> None:
    """Write how the ticker's night ended, unless a later end is there (dated over a day ahead: ignored).

    Not if it is of a session before its newest night's, or of one to come.  Raises StockmlError, OSError.
    """
    ticker = validated_ticker(str(run.parameters.get("ticker") or ""))
    before, night = last_run(current_home().nights, ticker), newest(current_home().nights, ticker)
    if night and (session := run.parameters.get("session")):
        last = sessions_for(ticker, run.parameters.get("calendar") or None).last_final(clock.now())
        if not str(night.session) <= str(session) <= str(last):
            return
    if before is None or before.at <= at or before.at > datetime.now(UTC) + A_DAY:
        why = " ".join((state.message or "").split()).removeprefix("Flow run encountered an exception: ")
        name = "Cancelled" if state.is_cancelling() else state.name or ""  # a worker's hook runs before the end state
        record_run(current_home().nights, ticker, LastRun(name, why, at))
