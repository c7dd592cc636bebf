"""A run that is begun here is on its deployment's page, and belongs to the run that it is in."""

from typing import Any

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.utilities.callables import parameter_schema

from tasks.run_records import run_shown
from tests.deployments.test_cli_runs import toy_night

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@task
def toy_task(ticker: str) -> str:
    return str(run_shown(toy_night, ticker, ticker, profile="tutorial", session=None).message)


@flow(name="toy universe")
def toy_universe(tickers: list[str]) -> list[str]:
    return [toy_task(ticker) for ticker in tickers]


def test_a_night_within_another_run_is_on_its_deployments_page_and_belongs_to_that_run() -> None:
    with get_client(sync_client=True) as client:
        form = parameter_schema(toy_night.fn).model_dump_for_openapi()
        kept: dict[str, Any] = {"parameter_openapi_schema": form, "enforce_parameter_schema": True}
        deployment = client.create_deployment(client.create_flow(toy_night), "GOOG", concurrency_limit=1, **kept)
    state = toy_universe(["GOOG", "FB"], return_state=True)
    assert state.result() == ["GOOG tutorial {}", "FB tutorial {}"]
    with get_client(sync_client=True) as client:
        children = FlowRunFilter(parent_flow_run_id={"any_": [state.state_details.flow_run_id]})
        found = {run.parameters["ticker"]: run for run in client.read_flow_runs(flow_run_filter=children)}
        stands_for = [client.read_task_run(run.parent_task_run_id) for run in found.values()]
    assert (found["GOOG"].deployment_id, found["FB"].deployment_id) == (deployment, None)
    assert {run.state_name for run in (*found.values(), *stands_for)} == {"Completed"}
