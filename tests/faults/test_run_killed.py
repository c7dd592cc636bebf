"""`make run`, its whole process killed at several points of one night: the next run continues where
it stopped.

`test_night_faults` covers the moments between; here Prefect's server is the run's own, and killed
with it.

After a last run to its end, the home holds one of everything, and no server of any of these runs is
left.
"""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import date

import psutil
import pytest

from stockml.home import HomePaths
from stockml.provider.price_source import replay_home
from tests.support import replaying
from tests.support.night_process import held_locks, nights, standing
from tests.support.patience import PATIENCE_S, until

pytestmark = pytest.mark.campaign

REACHED: dict[str, Callable[[HomePaths], bool]] = {
    "its own Prefect server begins": lambda home: (home.prefect / "temporary-server.log").exists(),
    "a model is there": lambda home: any(home.models.rglob("model.json")),
    "the record waits for MLflow": lambda home: any(home.nights.rglob("waiting")),
}


def make_run() -> "subprocess.Popen[str]":
    """What `make run` starts, on recorded prices."""
    command = [sys.executable, "-m", "deployments.run", "IBM"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run_that(reached: Callable[[HomePaths], bool], home: HomePaths) -> "subprocess.Popen[str]":
    """Start a run, and wait until it has come this far."""
    process = make_run()
    wait_until(reached, home, process)
    return process


def wait_until(
    reached: Callable[[HomePaths], bool], home: HomePaths, process: "subprocess.Popen[str]"
) -> None:
    until(lambda: reached(home) or process.poll() is not None, every_s=0.02)
    assert process.poll() is None, process.communicate()[0]


def left_of(home: HomePaths) -> list[str]:
    """The programs still at work in this home."""
    found = []
    for process in psutil.process_iter():
        # it may end between any two questions
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.pid != os.getpid() and process.environ().get("STOCKML_HOME") == str(
                home.root
            ):
                found.append(" ".join(process.cmdline()))
    return found


def test_make_run_killed_at_several_points_ends_as_one_night(
    home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALPHAVANTAGE_API_KEY", raising=False)
    home = replay_home(os.environ)
    replaying.fill(home, ["IBM"], date(2013, 2, 28))
    for reached in REACHED.values():
        process = run_that(reached, home)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        until(lambda: not left_of(home))
    last = make_run()
    said, _ = last.communicate(timeout=PATIENCE_S)
    assert last.returncode == 0, said
    found, [night] = standing(home), nights(home)
    assert found.runs == ((night.key, "FINISHED"),)
    assert found.versions == found.entries == found.promotions == (night.key,)
    assert found.waiting == 0
    assert states(home).count("COMPLETED") == 1
    until(lambda: not left_of(home))
    assert list(held_locks(home)) == []


def states(home: HomePaths) -> list[str]:
    """The states of all runs in the home's Prefect database."""
    with closing(sqlite3.connect(home.prefect / "prefect.db")) as database:
        return [state for (state,) in database.execute("SELECT state_type FROM flow_run")]
