"""Runs that a command or another run begins: they stand on their deployment's page too, where there is one."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast
from uuid import uuid4

from prefect import Flow, Task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, TaskRunResult
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.flow_engine import run_flow
from prefect.states import Pending, Running, State
from prefect.utilities.callables import get_call_parameters

from tasks.run_records import sign


def run_shown(flow: Flow[..., Any], deployment: str | None, *arguments: Any, **given: Any) -> State:
    """Run the flow here and now; its end. `deployment`: on whose page it is shown, where there is one of this name."""
    run = _begun(flow, deployment, arguments, given) if deployment else None
    ended: Any = (
        run_flow(flow, flow_run=run, parameters=get_call_parameters(flow.fn, arguments, given), return_type="state")
        if run
        else flow(*arguments, **given, return_state=True)
    )
    return cast(State, ended)


def _begun(
    flow: Flow[..., Any], deployment: str, arguments: tuple[Any, ...], given: Mapping[str, Any]
) -> FlowRun | None:
    """A run of the deployment that is Running here already, so that no worker takes it; None without a deployment."""
    asked = get_call_parameters(flow.fn, arguments, dict(given), apply_defaults=False)
    # None stands for the default, and the form, which the server checks by, has another kind for it
    parameters = flow.serialize_parameters({name: value for name, value in asked.items() if value is not None})
    with suppress(ObjectNotFound, PrefectHTTPStatusError), get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(f"{flow.name}/{deployment}")
        # what was not asked for is the form's own default, not the deployment's
        usual: dict[str, Any] = {
            name: empty for name, empty in (("settings", {}), ("calendar", "")) if name in found.parameters
        }
        run = client.create_flow_run_from_deployment(
            found.id,
            parameters={**usual, **parameters},
            state=Running(),
            parent_task_run_id=_parent(client, flow),
        )
        sign(run.id)
        return run
    return None


def _parent(client: SyncPrefectClient, flow: Flow[..., Any]) -> Any:
    """The task that stands for the run in the run around it, as Prefect makes one itself; None where there is none."""
    around, within = FlowRunContext.get(), TaskRunContext.get()
    if around is None or around.flow_run is None:
        return None
    by: Any = {"__parents__": [TaskRunResult(id=within.task_run.id)]} if within else {}
    task = Task(fn=flow.fn, name=flow.name)
    return client.create_task_run(task, around.flow_run.id, str(uuid4()), state=Pending(), task_inputs=by).id
