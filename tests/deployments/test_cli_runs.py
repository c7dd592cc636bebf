"""Flows run in the command's own process, with their news on standard error."""

import signal

import pytest
from prefect import flow, task
from typer import BadParameter

from deployments.cli.runs import result_of
from flows.notices import notice
from stockml.home import HomePaths

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


def test_whoever_waits_is_told_what_our_own_code_logs(
    home: HomePaths, capfd: pytest.CaptureFixture[str]
) -> None:
    result_of(notice, "no forecast of IBM")
    assert capfd.readouterr().err == "  no forecast of IBM\n"
    result_of(notice, "no forecast of IBM", quiet=True)
    assert capfd.readouterr().err == ""


def test_a_wrong_parameter_is_wrong_usage(home: HomePaths) -> None:
    with pytest.raises(BadParameter):
        result_of(notice, ["no", "text"])


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
