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

from stockml.errors import StockmlError
from stockml.home import current_home
from stockml.nights.status import LastRun, last_run, record_run
from stockml.storage.manifests import LAST_RUN_SUFFIX
from stockml.storage.process_marks import is_gone, mark
from stockml.storage.sharing import commit_merged
from stockml.tickers import validated_ticker
from tasks.short_runs import suit_short_runs

T = TypeVar("T")

A_DAY = timedelta(days=1)
WRONG = HTTPStatusError, JSONDecodeError, ValidationError  # answers, after which Prefect's client does not ask again
REFUSALS = HTTPError, *WRONG  # of Prefect's server, or of a program between
with_retries = retry(retry=retry_if_exception_type(WRONG), stop=stop_after_attempt(3), reraise=True)
NIGHTLY = "nightly"  # the flow
NIGHTS = FlowFilter.model_validate({"name": {"any_": [NIGHTLY]}})
UNFINISHED = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
WORKERS_RUN = "PREFECT__FLOW_RUN_ID"  # in the environment of a run that a worker has started


def run_on_page(flow: Flow[..., Any], deployment: str | None, *arguments: Any, **given: Any) -> State:
    """Run the flow here and now; returns its end state. `deployment`: on whose page it is shown, if it exists."""
    suit_short_runs()
    parameters = get_call_parameters(flow.fn, arguments, given)
    run = _begun(flow, deployment, arguments, given, str(uuid4())) if deployment else None
    return cast(State, run_flow(flow, flow_run=run, parameters=parameters, return_type="state"))


@with_retries
def _begun(
    flow: Flow[..., Any], deployment: str, arguments: tuple[Any, ...], given: Mapping[str, Any], once: str
) -> FlowRun | None:
    """A run of the deployment, Running already, so that no worker takes it; None if there is no such deployment.

    once: by which the server knows the run again when it is asked for it again, as after an answer that was lost.
    """
    asked = get_call_parameters(flow.fn, arguments, dict(given), apply_defaults=False)
    # None stands for the default, which has another type in the form that the server checks by
    parameters = flow.serialize_parameters({name: value for name, value in asked.items() if value is not None})
    with suppress(ObjectNotFound, PrefectHTTPStatusError), get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(f"{flow.name}/{deployment}")
        # what was not asked for is the form's own default, not the deployment's
        empty: dict[str, Any] = {"settings": {}, "calendar": ""}
        usual = {name: empty[name] for name in empty.keys() & found.parameters.keys()}
        parameters, parent = {**usual, **parameters}, _parent(client, flow, once)
        run = client.create_flow_run_from_deployment(
            found.id, parameters=parameters, state=Running(), parent_task_run_id=parent, idempotency_key=once
        )
        record_process(run.id)
        return run
    return None


def _parent(client: SyncPrefectClient, flow: Flow[..., Any], once: str) -> Any:
    """The task run that stands for the run in the run around it, made as by Prefect itself; None if none is around."""
    around, within = FlowRunContext.get(), TaskRunContext.get()
    if around is None or around.flow_run is None:
        return None
    by: Any = {"__parents__": [TaskRunResult(id=within.task_run.id)]} if within else {}
    return client.create_task_run(Task(fn=flow.fn), around.flow_run.id, once, task_inputs=by).id


def record_process(run_id: UUID) -> None:
    """Record on a run which process works on it: once that is gone, the run is known to be dead.

    A worker does this for the runs that it starts. While the server is away nothing is recorded.
    """
    if os.environ.get(WORKERS_RUN) == str(run_id):
        return
    with suppress(ObjectNotFound, *REFUSALS), get_client(sync_client=True) as client:
        written = client.read_flow_run(run_id).infrastructure_pid
        if written is None or is_gone(written):
            client.update_flow_run(run_id, infrastructure_pid=mark())


def drop_related_resources() -> None:
    """Let this run's task events name the run alone; the run's own events name its flow, deployment, queue and pool.

    Prefect would look these up, and store a row of each with each event: half of what a night writes to its database.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    at: Any = now("UTC")
    if run:
        known = {"flow": run.flow_id, "deployment": run.deployment_id, "work-queue": run.work_queue_id}
        for kind, identity in {**known, "work-pool": run.work_pool_name}.items():
            RESOURCE_CACHE[f"{kind}.{identity}"] = {"kind": kind, "object": None}, at


def in_state(types: Sequence[StateType], **more: Any) -> FlowRunFilter:
    """A filter for runs in a state of these types; `more`: other fields of Prefect's filter, as in JSON."""
    return FlowRunFilter.model_validate({"state": {"type": {"any_": list(types)}}, **more})


@with_retries
def is_due_again() -> bool:
    """Whether another run of this run's deployment is due too, as after days for which its machine slept."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None:
        return False
    theirs = {"deployment_id": {"any_": [run.deployment_id]}, "expected_start_time": {"before_": datetime.now(UTC)}}
    with get_client(sync_client=True) as client:
        return client.count_flow_runs(flow_run_filter=in_state([StateType.SCHEDULED], **theirs)) > 0


def runs_of(
    client: SyncPrefectClient, wanted: FlowRunFilter, sort: FlowRunSort | None = None, flows: FlowFilter | None = None
) -> Iterator[FlowRun]:
    return paginated(client.read_flow_runs, flow_filter=flows, flow_run_filter=wanted, sort=sort)


def paginated(read: Callable[..., list[T]], **filters: Any) -> Iterator[T]:
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


def reschedule(client: SyncPrefectClient, run_id: UUID, due: datetime, message: str) -> State:
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
    for task_run in tuple(paginated(client.read_task_runs, task_run_filter=in_it)):
        client.set_task_run_state(task_run.id, state, force=True)


def end_children(parent: UUID, state: State) -> None:
    """Put the unfinished runs within a run whose workers are gone into this state."""
    wanted = in_state(UNFINISHED, parent_flow_run_id={"any_": [parent]})
    with get_client(sync_client=True) as client:
        for run in tuple(runs_of(client, wanted)):
            end(client, run, state)


def keep_end(run: FlowRun, state: State, at: datetime) -> None:
    """Keep how the ticker's night ended, unless a later end is kept, which a clock that was ahead may have dated.

    Raises StockmlError, OSError.
    """
    ticker = validated_ticker(str(run.parameters.get("ticker") or ""))
    kept = last_run(current_home().nights, ticker)
    if kept is None or kept.at <= at or kept.at > datetime.now(UTC) + A_DAY:
        why = " ".join((state.message or "").split()).removeprefix("Flow run encountered an exception: ")
        name = "Cancelled" if state.is_cancelling() else state.name or ""  # a worker's hook runs before the end state
        record_run(current_home().nights, ticker, LastRun(name, why, at))
        commit_merged(current_home(), ticker + LAST_RUN_SUFFIX)
