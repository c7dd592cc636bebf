"""When `make up` begins, what no process works on any more is ended; what somebody works on in a terminal is not."""

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Failed, Running

from stockml.home import Home
from stockml.nights.status import Attempt, keep_attempt, rows
from stockml.storage.process_marks import mark
from tasks.begun_runs import sign
from tasks.run_records import crash_orphans, end_killed, keep_end

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@flow
def by_hand(ticker: str) -> str:
    """A run to make a record of."""
    return ticker


@flow(name="nightly")
def night(ticker: str) -> str:
    """A night to make a record of."""
    return ticker


@pytest.fixture
def runs() -> dict[str, str]:
    """Runs that are said to be under way, by who works on them: a process that is gone, this one, or nobody knows."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    made = {}
    with get_client(sync_client=True) as client:
        for name, pid in {"gone": gone.pid, "here": os.getpid(), "unknown": None}.items():
            ticker = "rescued" if name == "gone" else "RESCUED"  # as somebody types it
            run = client.create_flow_run(by_hand, parameters={"ticker": ticker}, name=name, state=Running())
            if pid:
                client.update_flow_run(run.id, infrastructure_pid=f"{socket.gethostname()}:{pid}")
            made[name] = run.id
    return made


def states(runs: dict[str, str]) -> dict[str, str]:
    with get_client(sync_client=True) as client:
        return {name: client.read_flow_run(run).state_name for name, run in runs.items()}


def test_a_new_beginning_ends_what_is_dead_and_what_has_grown_old(runs: dict[str, str]) -> None:
    assert "rescued (gone)" in crash_orphans()
    assert states(runs) == {"gone": "Crashed", "here": "Running", "unknown": "Running"}
    assert {"RESCUED (here)", "RESCUED (unknown)"} <= set(crash_orphans(datetime.now(UTC) + timedelta(hours=7)))


def test_of_a_deployments_runs_those_of_a_terminal_are_left_alone() -> None:
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow(by_hand), "RESCUED")
        terminal, worker = (
            client.create_flow_run_from_deployment(deployment, parameters={"ticker": name}, name=name, state=Running())
            for name in ("TERMINAL", "WORKER")
        )
        client.update_flow_run(terminal.id, infrastructure_pid=mark())
    assert "WORKER" in crash_orphans()
    assert states({"terminal": terminal.id, "worker": worker.id}) == {"terminal": "Running", "worker": "Crashed"}
    crash_orphans(datetime.now(UTC) + timedelta(hours=7))


def test_a_night_that_was_killed_says_so_in_the_status_where_none_came_after_it(home: Home) -> None:
    began = datetime.now(UTC)
    for ticker, ended in {"KILLED": began - timedelta(days=1), "AFTER": began + timedelta(hours=1)}.items():
        keep_attempt(home.nights, ticker, Attempt("Completed", "", ended))
        with get_client(sync_client=True) as client:
            client.create_flow_run(night, parameters={"ticker": ticker}, state=Running())
    crash_orphans(began + timedelta(hours=7))
    told = "crashed: nothing works on this run any more; run it again"
    assert [row.state for row in rows(home, ["AFTER", "KILLED"], began)] == ["completed: ", told]


def test_a_night_that_failed_says_why_in_its_own_words(home: Home) -> None:
    keep_attempt(home.nights, "FAILED", Attempt("Completed", "", began := datetime.now(UTC)))
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(night, parameters={"ticker": "FAILED"}, state=Running())
    said = "Flow run encountered an exception: NoBars: no bars of FAILED"
    keep_end(run, Failed(message=said), began + timedelta(minutes=1))
    assert [row.state for row in rows(home, ["FAILED"], began)] == ["failed: NoBars: no bars of FAILED"]


def test_the_next_night_of_a_ticker_ends_its_dead_runs_alone(runs: dict[str, str]) -> None:
    end_killed("ANOTHER")
    assert states(runs)["gone"] == "Running"
    end_killed("RESCUED")
    assert states(runs) == {"gone": "Crashed", "here": "Running", "unknown": "Running"}
    crash_orphans(datetime.now(UTC) + timedelta(hours=7))


def test_a_run_that_is_taken_up_again_is_signed_anew_and_one_at_work_is_not(runs: dict[str, str]) -> None:
    for run in runs.values():
        sign(UUID(str(run)))
    end_killed("RESCUED")
    assert states(runs) == {"gone": "Running", "here": "Running", "unknown": "Running"}
    crash_orphans(datetime.now(UTC) + timedelta(hours=7))
