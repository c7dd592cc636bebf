"""When `make up` starts, runs that no process works on any more are ended; runs in somebody's terminal are not."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Failed, Running

from stockml.home import Home
from stockml.nights.status import Attempt, keep_attempt, rows
from stockml.storage.process_marks import mark
from tasks.lost_runs import crash_orphans, end_killed
from tasks.run_records import keep_end, sign

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
def runs() -> Iterator[dict[str, str]]:
    """Runs recorded as Running, by who works on them: a process that is gone, this one, or an unknown one."""
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
        yield made
        for run_id in made.values():
            client.delete_flow_run(run_id)


def states(runs: dict[str, str]) -> dict[str, str]:
    with get_client(sync_client=True) as client:
        return {name: client.read_flow_run(run).state_name for name, run in runs.items()}


def test_starting_up_ends_dead_runs_and_very_old_ones_that_nothing_is_known_to_work_on(runs: dict[str, str]) -> None:
    """A search of many trials in a terminal may take a day."""
    assert "rescued (gone)" in crash_orphans()
    assert states(runs) == {"gone": "Crashed", "here": "Running", "unknown": "Running"}
    assert "RESCUED (unknown)" in crash_orphans(datetime.now(UTC) + timedelta(hours=7))
    assert states(runs) == {"gone": "Crashed", "here": "Running", "unknown": "Crashed"}


def test_a_deployments_run_in_a_terminal_is_left_alone_and_one_of_a_worker_is_ended() -> None:
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow(by_hand), "RESCUED")
        terminal, worker = (
            client.create_flow_run_from_deployment(deployment, parameters={"ticker": name}, name=name, state=Running())
            for name in ("TERMINAL", "WORKER")
        )
        client.update_flow_run(terminal.id, infrastructure_pid=mark())
    assert "WORKER" in crash_orphans()
    assert states({"terminal": terminal.id, "worker": worker.id}) == {"terminal": "Running", "worker": "Crashed"}
    with get_client(sync_client=True) as client:
        client.delete_flow_run(terminal.id)


def test_the_status_says_that_a_night_was_killed_unless_another_came_after_it(home: Home) -> None:
    began = datetime.now(UTC)
    for ticker, ended in {"KILLED": began - timedelta(days=1), "AFTER": began + timedelta(hours=1)}.items():
        keep_attempt(home.nights, ticker, Attempt("Completed", "", ended))
        with get_client(sync_client=True) as client:
            client.create_flow_run(night, parameters={"ticker": ticker}, state=Running())
    crash_orphans(began + timedelta(hours=7))
    told = "crashed: nothing works on this run any more; run it again"
    assert [row.state for row in rows(home, ["AFTER", "KILLED"], began)] == ["completed: ", told]


def test_the_status_says_why_a_night_failed_in_its_own_words(home: Home) -> None:
    keep_attempt(home.nights, "FAILED", Attempt("Completed", "", began := datetime.now(UTC)))
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(night, parameters={"ticker": "FAILED"}, state=Running())
    said = "Flow run encountered an exception: NoBars: no bars of FAILED"
    keep_end(run, Failed(message=said), began + timedelta(minutes=1))
    assert [row.state for row in rows(home, ["FAILED"], began)] == ["failed: NoBars: no bars of FAILED"]


def test_an_end_kept_while_the_clock_was_ahead_gives_way_to_the_next(home: Home) -> None:
    ahead = datetime.now(UTC) + timedelta(days=1_000)
    keep_attempt(home.nights, "AHEAD", Attempt("Stale", "the feed is stale", ahead))
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(night, parameters={"ticker": "AHEAD"}, state=Running())
    keep_end(run, Failed(message="the disk is full"), datetime.now(UTC))
    assert [row.state for row in rows(home, ["AHEAD"], datetime.now(UTC))] == ["failed: the disk is full"]


def test_a_tickers_next_night_ends_only_that_tickers_dead_runs(runs: dict[str, str]) -> None:
    end_killed("ANOTHER")
    assert states(runs)["gone"] == "Running"
    end_killed("RESCUED")
    assert states(runs) == {"gone": "Crashed", "here": "Running", "unknown": "Running"}


def test_a_dead_run_that_is_resumed_is_signed_again_and_so_is_not_ended(runs: dict[str, str]) -> None:
    for run in runs.values():
        sign(UUID(str(run)))
    end_killed("RESCUED")
    assert states(runs) == {"gone": "Running", "here": "Running", "unknown": "Running"}
