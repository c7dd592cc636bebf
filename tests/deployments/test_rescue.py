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
from prefect.states import Running

from deployments.servers.rescue import crash_orphans
from tasks.run_records import end_killed, sign

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@flow
def by_hand(ticker: str) -> str:
    """A run to make a record of."""
    return ticker


@pytest.fixture
def runs() -> dict[str, str]:
    """Runs that are said to be under way, by who works on them: a process that is gone, this one, or nobody knows."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    made = {}
    with get_client(sync_client=True) as client:
        for name, pid in {"gone": gone.pid, "here": os.getpid(), "unknown": None}.items():
            run = client.create_flow_run(by_hand, parameters={"ticker": "RESCUED"}, name=name, state=Running())
            if pid:
                client.update_flow_run(run.id, infrastructure_pid=f"{socket.gethostname()}:{pid}")
            made[name] = run.id
    return made


def states(runs: dict[str, str]) -> dict[str, str]:
    with get_client(sync_client=True) as client:
        return {name: client.read_flow_run(run).state_name for name, run in runs.items()}


def test_a_new_beginning_ends_what_is_dead_and_what_has_grown_old(runs: dict[str, str]) -> None:
    assert "gone" in crash_orphans()
    assert states(runs) == {"gone": "Crashed", "here": "Running", "unknown": "Running"}
    assert {"here", "unknown"} <= set(crash_orphans(datetime.now(UTC) + timedelta(hours=7)))


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
