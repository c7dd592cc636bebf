"""Runs that this process begins, in Prefect's records: on their deployment's page, signed by the process at work."""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast
from uuid import UUID, uuid4

from httpx import HTTPError
from prefect import Flow, Task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, TaskRunResult
from prefect.context import FlowRunContext, TaskRunContext
from prefect.events.related import RESOURCE_CACHE
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.flow_engine import run_flow
from prefect.states import Pending, Running, State
from prefect.types._datetime import now
from prefect.utilities.callables import get_call_parameters

from stockml.storage.process_marks import is_gone, mark
from tasks.short_runs import suit_short_runs

WORKERS_RUN = "PREFECT__FLOW_RUN_ID"  # in the environment of a run that a worker has started


def run_shown(flow: Flow[..., Any], deployment: str | None, *arguments: Any, **given: Any) -> State:
    """Run the flow here and now; returns its end state. `deployment`: on whose page it is shown, if it exists."""
    suit_short_runs()
    parameters = get_call_parameters(flow.fn, arguments, given)
    run = _begun(flow, deployment, arguments, given) if deployment else None
    return cast(State, run_flow(flow, flow_run=run, parameters=parameters, return_type="state"))


def _begun(
    flow: Flow[..., Any], deployment: str, arguments: tuple[Any, ...], given: Mapping[str, Any]
) -> FlowRun | None:
    """A run of the deployment, Running already, so that no worker takes it; None if there is no such deployment."""
    asked = get_call_parameters(flow.fn, arguments, dict(given), apply_defaults=False)
    # None stands for the default, which has another type in the form that the server checks by
    parameters = flow.serialize_parameters({name: value for name, value in asked.items() if value is not None})
    with suppress(ObjectNotFound, PrefectHTTPStatusError), get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(f"{flow.name}/{deployment}")
        # what was not asked for is the form's own default, not the deployment's
        empty: dict[str, Any] = {"settings": {}, "calendar": ""}
        usual = {name: empty[name] for name in empty.keys() & found.parameters.keys()}
        parameters, parent = {**usual, **parameters}, _parent(client, flow)
        run = client.create_flow_run_from_deployment(
            found.id, parameters=parameters, state=Running(), parent_task_run_id=parent
        )
        sign(run.id)
        return run
    return None


def _parent(client: SyncPrefectClient, flow: Flow[..., Any]) -> Any:
    """The task run that stands for the run in the run around it, made as by Prefect itself; None if none is around."""
    around, within = FlowRunContext.get(), TaskRunContext.get()
    if around is None or around.flow_run is None:
        return None
    by: Any = {"__parents__": [TaskRunResult(id=within.task_run.id)]} if within else {}
    task = Task(fn=flow.fn, name=flow.name)
    return client.create_task_run(task, around.flow_run.id, str(uuid4()), state=Pending(), task_inputs=by).id


def sign(run_id: UUID) -> None:
    """Record on a run which process works on it: once that is gone, the run is known to be dead.

    A worker does this for the runs that it starts. While the server is away nothing is recorded.
    """
    if os.environ.get(WORKERS_RUN) == str(run_id):
        return
    with suppress(HTTPError), get_client(sync_client=True) as client:
        written = client.read_flow_run(run_id).infrastructure_pid
        if written is None or is_gone(written):
            client.update_flow_run(run_id, infrastructure_pid=mark())


def relate_to_run_only() -> None:
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
