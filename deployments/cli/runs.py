"""Runs of the flows in this process, with their progress on standard error. To be called within `prefect_api()`."""

import gc
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer

from deployments.cli.progress import progress
from deployments.servers.prefect_api import OWN_SERVER
from stockml.home import home

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun

    from stockml.nights.record import Night

NOISE = "library-noise.log"


def run_night(ticker: str, *, quiet: bool = False, **arguments: Any) -> "Night":
    """One run of the nightly flow. Raises what the night raised."""
    from flows.nightly import nightly

    # a person who waits at a terminal is told that the bar is late, and asks again when it suits them
    night: Night = outcome(nightly, ticker, quiet=quiet, **arguments, late_retries=0, deployment=ticker)
    return night


def outcome(
    flow: "Flow[..., Any]", *arguments: Any, quiet: bool = False, deployment: str | None = None, **named: Any
) -> Any:
    """What the run left behind, also when it ended as failed; what it raised is raised. None stands for a default.

    deployment: on whose page the run is shown too, where there is one of this name.
    """
    from prefect.exceptions import ParameterTypeError
    from prefect.flow_engine import run_flow
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.utilities.callables import get_call_parameters

    from stockml.provider.quota import Plan
    from tasks.rate_limit import configure_rate_limit

    if os.environ.get(OWN_SERVER):
        configure_rate_limit(Plan.of(os.environ))
    gc.freeze()  # what has been imported is not looked at again
    given = {name: value for name, value in named.items() if value is not None}
    # a server that ends with this command watches no heartbeat, and waiting for its thread would cost a second
    changed = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None} if os.environ.get(OWN_SERVER) else {}
    with temporary_settings(changed), progress(home().root / NOISE, quiet=quiet):
        run = _shown_with(flow, deployment, *arguments, **given) if deployment else None
        if run:
            whole = get_call_parameters(flow.fn, arguments, given)
            state: Any = run_flow(flow, flow_run=run, parameters=whole, return_type="state")
        else:
            state = flow(*arguments, **given, return_state=True)
    found = state.result(raise_on_failure=False)
    if isinstance(found, ParameterTypeError):
        raise typer.BadParameter(str(found).partition("- ")[2].replace("\n - ", "; ")) from found
    if isinstance(found, BaseException):
        raise found
    return found


def _shown_with(flow: "Flow[..., Any]", deployment: str, *arguments: Any, **given: Any) -> "FlowRun | None":
    """A run of the deployment that is Running here already, so that no worker takes it; None without a deployment."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
    from prefect.states import Running
    from prefect.utilities.callables import get_call_parameters

    from tasks.run_records import sign

    parameters = flow.serialize_parameters(get_call_parameters(flow.fn, arguments, given, apply_defaults=False))
    with suppress(ObjectNotFound, PrefectHTTPStatusError), get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(f"{flow.name}/{deployment}")
        # what the person did not ask for is the form's own default, not the deployment's
        usual: dict[str, Any] = {
            name: empty for name, empty in (("settings", {}), ("calendar", "")) if name in found.parameters
        }
        run = client.create_flow_run_from_deployment(found.id, parameters={**usual, **parameters}, state=Running())
        sign(run.id)
        return run
    return None
