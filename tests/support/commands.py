"""Calls of the command line for tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Container, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from deployments.cli.app import run
from deployments.process import restored
from deployments.servers.prefect_api import settings_of
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.prices.store import BarStore
from tests.support.patience import PATIENCE_S
from tests.support.recordings import recorded

Captured = pytest.CaptureFixture[str]


def stockml(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a new process, in the test's home. more: environment variables."""
    return _run("deployments.cli", *arguments, **more)


def make_run(ticker: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """`make run` for a ticker. more: environment variables."""
    return _run("deployments.cli", "nightly", ticker, **more)


def _run(module: str, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", module, *arguments]
    streams: dict[str, Any] = {"capture_output": True, "text": True}
    return subprocess.run(
        command, env=os.environ | more, timeout=PATIENCE_S, check=False, **streams
    )


def here(*arguments: str, **more: str) -> int:
    """Run the command in this process, in the test's home; return its exit code. more: environment
    variables."""
    with restored(os.environ, (*settings_of(home_of()), *more)):
        os.environ.update(more)
        return run(arguments)


def shown(capsys: Captured, *arguments: str) -> str:
    """What the command prints, run in this process, once it has succeeded."""
    assert run(arguments) == 0
    return capsys.readouterr().out


@contextmanager
def up(
    ports: tuple[int, int],
    *arguments: str,
    umask: int = -1,
    without: Container[str] = (),
    **more: str,
) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """Run `stockml up`; once it is ready, yield its process and the lines it printed; stop it by
    Ctrl-C afterwards.

    without: the variables of this process that it does not get. more: variables of its own.
    """
    environ = {name: value for name, value in os.environ.items() if name not in without} | more
    command = [sys.executable, "-m", "deployments.cli", "up", *arguments]
    command += ["--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, env=environ, umask=umask, **streams)
    assert process.stdout
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                break
        assert process.poll() is None, "".join(said)
        yield process, said
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        said += process.communicate(timeout=PATIENCE_S)[0].splitlines()


def store_of(home: HomePaths, ticker: str = "IBM", sessions: int = 300) -> BarStore:
    store = BarStore.of(home)
    bars = recorded(ticker).tail(sessions)
    now = datetime(2013, 3, 4, tzinfo=UTC)
    store.append(ticker, bars, recorded_at=now, source="recording", session=bars.index[-1].date())
    return store
