"""A run that is begun here is on its deployment's page, and belongs to the run that it is in."""

from typing import Any

import pytest
from httpx import Client, Request, Response
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.utilities.callables import parameter_schema

from tasks.run_records import run_on_page
from tests.deployments.test_cli_runs import toy_night as night_of_a_command

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
toy_night = night_of_a_command.with_options(name="toy night within another run")


@task
def toy_task(ticker: str) -> str:
    return str(run_on_page(toy_night, ticker, ticker, profile="tutorial", session=None).message)


@flow(name="toy universe")
def toy_universe(tickers: list[str]) -> list[str]:
    return [toy_task(ticker) for ticker in tickers]


@flow
def night_begun_once() -> str:
    return "done"


@flow
def universe_of_one() -> str:
    return str(run_on_page(night_begun_once, "ONE").name)


def broken_once(monkeypatch: pytest.MonkeyPatch, asked: str, content: bytes) -> list[str]:
    """Have the first answer to a POST to such a path changed on its way; returns the paths asked for, as they come."""
    paths: list[str] = []
    send = Client.send

    def sent(self: Client, request: Request, **more: Any) -> Response:
        answer = send(self, request, **more)
        if request.method == "POST" and request.url.path.endswith(asked):
            paths.append(request.url.path)
            return answer if paths[1:] else Response(201, content=content, request=request)
        return answer

    monkeypatch.setattr(Client, "send", sent)
    return paths


@pytest.mark.parametrize("asked", ["/task_runs/", "/create_flow_run"])
@pytest.mark.parametrize("content", [b"", b'{"id": "a', b'{"surprise": 1}'])
def test_a_night_within_another_run_is_begun_once_though_an_answer_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, asked: str, content: bytes
) -> None:
    with get_client(sync_client=True) as client:
        client.create_deployment(client.create_flow(night_begun_once), "ONE", concurrency_limit=1)
        paths = broken_once(monkeypatch, asked, content)
        state = universe_of_one(return_state=True)
        assert state.result() == "Completed"
        assert len(paths) == 2
        children = FlowRunFilter(parent_flow_run_id={"any_": [state.state_details.flow_run_id]})
        (night,) = client.read_flow_runs(flow_run_filter=children)
        within = TaskRunFilter(flow_run_id={"any_": [state.state_details.flow_run_id]})
        tasks = client.read_task_runs(task_run_filter=within)
    assert night.state_name == "Completed"
    assert [run.state_name for run in tasks if run.task_key.startswith("night_begun_once")] == ["Completed"]


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
