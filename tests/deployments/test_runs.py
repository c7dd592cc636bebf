"""What the command line runs is on the page of its deployment, and no worker takes it."""

from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterId
from prefect.states import Completed, State
from pydantic import Field

from deployments.cli.runs import outcome
from stockml.home import Home

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@flow(name="toy night")
def toy_night(ticker: str, profile: str = Field("nightly"), settings: dict[str, Any] = Field({})) -> State:
    return Completed(message=f"{ticker} {profile} {settings}", data=profile)


def test_a_night_of_the_command_line_is_on_its_deployments_page_and_no_worker_takes_it(home: Home) -> None:
    with get_client(sync_client=True) as client:
        usual = {"ticker": "IBM", "settings": {"training": {"epochs": 9}}}
        flow_id = client.create_flow(toy_night)
        deployment = client.create_deployment(flow_id, "IBM", parameters=usual, concurrency_limit=1)
    for ticker in ("IBM", "MSFT"):
        assert outcome(toy_night, ticker, profile="tutorial", deployment=ticker) == "tutorial"
    with get_client(sync_client=True) as client:
        of_flow = FlowFilter(id=FlowFilterId(any_=[flow_id]))
        found = {run.parameters["ticker"]: run for run in client.read_flow_runs(flow_filter=of_flow)}
    assert (found["IBM"].deployment_id, found["MSFT"].deployment_id) == (deployment, None)
    states = {run.state.message for run in found.values() if run.state and run.state.is_completed()}
    assert states == {"IBM tutorial {}", "MSFT tutorial {}"}
    assert found["IBM"].parameters["settings"] == {}
    assert found["IBM"].infrastructure_pid
