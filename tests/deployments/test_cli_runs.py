"""Nights run by the command line or by another run are on their deployment's page, and no worker takes them."""

import logging
import signal
from typing import Any

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterId
from prefect.states import Completed, State
from pydantic import Field

from deployments.cli.runs import result_of
from flows.form import NO_DAY, Day
from stockml.errors import NoData
from stockml.home import HomePaths

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@flow(name="toy night")
def toy_night(
    ticker: str, profile: str = Field("nightly"), settings: dict[str, Any] = Field({}), session: Day = Field(NO_DAY)
) -> State:
    return Completed(message=f"{ticker} {profile} {settings}", data=profile)


def test_a_night_of_the_command_line_is_on_its_deployments_page_and_no_worker_takes_it(home: HomePaths) -> None:
    with get_client(sync_client=True) as client:
        usual = {"ticker": "IBM", "settings": {"training": {"epochs": 9}}}
        flow_id = client.create_flow(toy_night)
        deployment = client.create_deployment(flow_id, "IBM", parameters=usual, concurrency_limit=1)
    for ticker in ("IBM", "MSFT"):
        assert result_of(toy_night, ticker, profile="tutorial", deployment=ticker) == "tutorial"
    with get_client(sync_client=True) as client:
        of_flow = FlowFilter(id=FlowFilterId(any_=[flow_id]))
        found = {run.parameters["ticker"]: run for run in client.read_flow_runs(flow_filter=of_flow)}
    assert (found["IBM"].deployment_id, found["MSFT"].deployment_id) == (deployment, None)
    states = {run.state.message for run in found.values() if run.state and run.state.is_completed()}
    assert states == {"IBM tutorial {}", "MSFT tutorial {}"}
    assert found["IBM"].parameters["settings"] == {}
    assert found["IBM"].infrastructure_pid


@task(retries=1, retry_delay_seconds=0.1)
def passing_fault(said: list[str]) -> None:
    said.append("asked")
    if len(said) == 1:
        raise NoData("IBM", "no complete answer from 127.0.0.1")


@flow(name="toy outage")
def toy_outage() -> None:
    passing_fault([])


def test_whoever_waits_is_told_what_failed_and_when_it_is_retried(
    home: HomePaths, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "prefect.task_runs"):
        assert result_of(toy_outage) is None
    said = capfd.readouterr().err
    assert "asked again in 0 s: IBM: expected a daily series, found 'no complete answer" in said
    assert ["passing_fault", "done"] in [line.split() for line in said.splitlines()]


@task
def interrupted() -> None:
    signal.raise_signal(signal.SIGINT)


@flow(name="toy wait")
def toy_wait() -> None:
    interrupted()


def test_ctrl_c_is_not_called_a_crash(home: HomePaths, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        result_of(toy_wait)
    assert "Crash detected" not in capfd.readouterr().err
