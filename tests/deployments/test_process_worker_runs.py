"""Runs of a real worker: when it asks for one, which it leaves, and which nights it runs again.

A night whose process dies is run again: killed alone, or with its worker, by the next.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.states import (
    AwaitingRetry,
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Pending,
    Running,
    Scheduled,
    State,
)

from deployments.servers.process_worker import AHEAD
from stockml.storage.process_marks import mark
from tasks.lost_runs import ABORTED, KILLED, MAX_DEATHS, MAX_SILENCE, REQUEUED, SILENT, UNREACHABLE, reap_lost, requeue
from tests.support import patience
from tests.support.workers import deployed, message, one_slot, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("lasting_server")]

POOL, NEVER = "killed", datetime(2100, 1, 1, tzinfo=UTC)
DIES = """
import os
import signal
from pathlib import Path

from prefect import flow


@flow
def nightly(ticker: str, deaths: int) -> None:
    with Path({folder!r}, ticker).open("a") as attempts:
        attempts.write("T")
        if attempts.tell() <= deaths:
            attempts.flush()
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def worker(lasting_server: None, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[subprocess.Popen[bytes]]":
    """A worker of POOL that asks every second."""
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    with one_slot(tmp_path_factory.mktemp("worker"), POOL, every_s=1) as running:
        yield running


def due_now(client: SyncPrefectClient, run: UUID) -> None:
    """Spare a run that is done again its wait."""
    client.set_flow_run_state(run, Scheduled(scheduled_time=datetime.now(UTC)), force=True)


@pytest.mark.usefixtures("worker")
def test_a_night_whose_process_is_killed_is_run_again_but_not_for_ever(tmp_path: Path) -> None:
    """One night dies once; the other has died before and always will."""
    with get_client(sync_client=True) as client:
        deployment = deployed(client, tmp_path, DIES.format(folder=str(tmp_path)), "nightly", POOL)

        def made(ticker: str, deaths: int) -> UUID:
            asked = {"ticker": ticker, "deaths": deaths}
            return client.create_flow_run_from_deployment(deployment, parameters=asked, state=not_yet).id

        not_yet: State[Any] = Scheduled(scheduled_time=NEVER)
        once, always = made("ONCE", 1), made("ALWAYS", 9)
        for _ in range(1, MAX_DEATHS):
            client.set_flow_run_state(always, Running(), force=True)
            assert requeue(client, always, "killed")
        client.set_flow_run_state(always, not_yet, force=True)
        for run_id, end, attempts in ((once, "Completed", 2), (always, "Crashed", MAX_DEATHS + 1)):
            due_now(client, run_id)
            until(client, run_id, "AwaitingRetry")
            run = client.read_flow_run(run_id)
            assert run.state
            assert "its process was killed by signal 9; done again at " in str(run.state.message)
            assert run.infrastructure_pid is None, "otherwise cancelling it would wait for that process"
            due_now(client, run_id)
            until(client, run_id, end)
            assert client.read_flow_run(run_id).run_count == attempts
    assert [(tmp_path / name).read_text() for name in ("ONCE", "ALWAYS")] == ["TT", "TT"]


OUTLIVES = """
import os
from pathlib import Path
from time import sleep

from prefect import flow, get_run_logger


@flow
def nightly(ticker: str) -> None:
    begun, worker = Path({folder!r}, ticker), os.getppid()
    if not begun.exists():
        begun.touch()
        while os.getppid() == worker:
            sleep(0.05)
        get_run_logger().info("what was to read this is gone")
"""


def test_nights_that_were_lost_with_their_worker_are_run_again_by_the_next(
    worker: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    """Whether or not the server has ended them, or they themselves: a run in its own process has a pipe to its worker,
    and rich exits when that breaks. So is one whose container or pod was killed, or whose process the server's restart
    kept from beginning it, from beginning it again once it had waited for a late bar, or from telling its end; or whose
    worker told of that twice, the second time after it had been put back. One that died too often or otherwise, was
    cancelled or slept is left.

    The last test of the worker: it kills it.
    """
    ends: dict[str, State[Any]] = dict.fromkeys(("LOST", "OFTEN", "ASLEEP", "STOPPED"), Crashed(message=SILENT))
    ends |= {f"KILLED {at}": Crashed(message=f"{told} More.") for at, told in enumerate(KILLED)}
    ends |= dict.fromkeys(("FAILED", "UNTOLD", "TOLD TWICE"), Crashed(message=f"{UNREACHABLE[0]} A general error."))
    ends |= {"SILENT": Running(), "AT WORK": Running()}
    all_unread = (*UNREACHABLE, "Failed to submit flow run to infrastructure: ValidationError: 1 error for Flow.")
    unread = [f"UNREAD {at}" for at in range(len(all_unread))]
    begun: dict[str, State[Any]] = dict.fromkeys((*unread, "WAITED"), Pending())
    begun |= {"STOPPED": Cancelling(), "FAILED": Failed(), "TOLD TWICE": AwaitingRetry(scheduled_time=NEVER)}
    ends["WAITED"] = Crashed(message=f"{UNREACHABLE[1]} A general error.")
    ends |= {run: Crashed(message=f"{told} A general error.") for run, told in zip(unread, all_unread, strict=True)}
    alone = {"job_variables": {"command": f"{sys.executable} -u -m prefect.engine"}}  # without -u, it would be a fork
    (own := tmp_path / "own").mkdir()
    with get_client(sync_client=True) as client:
        outliving = deployed(client, own, OUTLIVES.format(folder=str(own)), "nightly", POOL, "outlives", **alone)
        outlives = client.create_flow_run_from_deployment(outliving, parameters={"ticker": "OUTLIVES"}).id
        patience.until((own / "OUTLIVES").exists)
        worker.kill()
        until(client, outlives, "Crashed")
        assert str(client.read_flow_run(outlives).state.message).startswith(ABORTED), "or another reason requeues it"

        deployment = deployed(client, tmp_path, DIES.format(folder=str(tmp_path)), "nightly", POOL)
        made = {
            name: client.create_flow_run_from_deployment(deployment, parameters={"ticker": name, "deaths": 0}).id
            for name in ends
        }

        def found() -> dict[str, str | None]:
            return {name: client.read_flow_run(run_id).state_name for name, run_id in made.items()}

        other = client.create_flow_from_name("backtest")
        made["OTHER"] = client.create_flow_run_from_deployment(client.create_deployment(other, POOL)).id
        ends["OTHER"] = Running()
        for _ in range(MAX_DEATHS):
            client.set_flow_run_state(made["OFTEN"], Running(), force=True)
            assert requeue(client, made["OFTEN"], "killed")
        for state in (Running(), AwaitingRetry(scheduled_time=NEVER)):
            client.set_flow_run_state(made["WAITED"], state, force=True)
        for name, run_id in made.items():
            process = {"infrastructure_pid": mark() if name in ("ASLEEP", "AT WORK") else "elsewhere:1"}
            client.request("PATCH", "/flow_runs/{id}", path_params={"id": run_id}, json=process)
            client.set_flow_run_state(run_id, begun.get(name, Running()), force=True)
            client.set_flow_run_state(run_id, ends[name], force=True)
        left = {name: str(end.name) for name, end in ends.items()}
        reap_lost(datetime.now(UTC) + 2 * MAX_SILENCE)
        long_ago = {"SILENT": "AwaitingRetry", "OTHER": "Crashed"}
        assert found() == left | long_ago, "a night that ended long ago stays as it is"
        client.set_flow_run_state(made["SILENT"], AwaitingRetry(scheduled_time=NEVER), force=True)
        client.set_flow_run_state(made["OTHER"], Running(), force=True)
        again = ("LOST", "KILLED 0", "KILLED 1", *unread, "WAITED", "TOLD TWICE", "UNTOLD")
        with one_slot(tmp_path, POOL, every_s=1):
            for run_id in (runs := (outlives, *(made[name] for name in again))):
                told = message(client, run_id, f"; {REQUEUED} ")
                assert ".;" not in told
                if client.read_flow_run(run_id).state_name == "AwaitingRetry":  # a slow machine's sweep takes a minute
                    due_now(client, run_id)
            for run_id in runs:
                until(client, run_id, "Completed")
        assert client.read_flow_run(outlives).run_count == 2
        assert found() == left | {"SILENT": "AwaitingRetry", **dict.fromkeys(again, "Completed")}


QUICK = "from prefect import flow\n\n\n@flow\ndef quick() -> None: ...\n"
BUSY = """
import subprocess
import sys
import threading
from pathlib import Path

from prefect import flow
from prefect._internal import control_listener

FOLDER = Path({folder!r})
HOLDS_THE_OUTPUT = "import pathlib, time\\nwhile not pathlib.Path('let-go').exists(): time.sleep(0.05)"


@flow
def busy() -> None:
    control_listener.stop()
    subprocess.Popen([sys.executable, "-c", HOLDS_THE_OUTPUT], cwd=FOLDER)
    (FOLDER / "busy").touch()
    threading.Event().wait()
"""


def test_a_run_started_by_hand_does_not_wait_behind_due_nights(tmp_path: Path) -> None:
    pool, now = f"nights {uuid4()}", datetime.now(UTC)
    every_minute = [DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(minutes=1)))]
    hour = {"start_time": str(now - timedelta(hours=1)), "end_time": str(now), "max_runs": AHEAD + 3}
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        deployment = deployed(client, tmp_path, QUICK, "quick", pool, schedules=every_minute)
        client.request("POST", "/deployments/{id}/schedule", path_params={"id": deployment}, json=hour)
        of_deployment = FlowRunFilter.model_validate({"deployment_id": {"any_": [deployment]}})
        nights = [run for run in client.read_flow_runs(flow_run_filter=of_deployment) if run.auto_scheduled]
        nights = [run for run in nights if run.expected_start_time and run.expected_start_time <= now]
        assert len(nights) == AHEAD + 3
        by_hand = [client.create_flow_run_from_deployment(deployment).id for _ in range(2)]
        for _ in range(AHEAD):  # requested later, and put off
            put_off = client.create_flow_run_from_deployment(deployment).id
            client.set_flow_run_state(put_off, AwaitingRetry(scheduled_time=NEVER))
        with one_slot(tmp_path, pool):
            for run in (*by_hand, *(night.id for night in nights)):
                until(client, run, "Completed")
            runs = [client.read_flow_run(run) for run in by_hand]
            states = [[each.name for each in client.read_flow_run_states(run)] for run in by_hand]
            of_workers = EventFilter(event=EventNameFilter(prefix=["prefect.worker."]), occurred={"since": now})
            events = client.read_events(of_workers, limit=50).events
        begun = {run.id: run.start_time for run in client.read_flow_runs(flow_run_filter=of_deployment)}
        first = sorted(begun[id_of] or now for id_of in by_hand)
        assert first == [begun[id_of] for id_of in by_hand], "in the order in which they were requested"
        assert first[-1] < min(begun[night.id] or now for night in nights)
    assert not any("prefect.worker.name" in run.labels for run in runs), "to ask a busy SQLite holds a slot"
    assert states == [["Scheduled", "Pending", "Running", "Completed"]] * 2
    assert {each.event for each in events} <= {"prefect.worker.started", "prefect.worker.stopped"}


PUT_OFF = AwaitingRetry(scheduled_time=NEVER)
CASES: dict[str, tuple[dict[str, str], Sequence[State]]] = {
    # how the busy run is started, and the others' states when their turn comes
    "fork": ({}, (Cancelled(), PUT_OFF)),
    "process": ({"command": f"{sys.executable} -u -m prefect.engine"}, (Completed(),)),  # done by another worker
}


def test_runs_no_longer_due_are_not_started_and_a_cancelled_run_that_is_retried_goes_on(tmp_path: Path) -> None:
    """A run holds the worker's only slot until `let-go` exists; the one run still wanted is queued behind the others.

    The first is too busy to answer, and a process's output closes only after a Retry that another worker has begun.
    """
    pool = f"busy {uuid4()}"
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        deployment = deployed(client, tmp_path, QUICK, "quick", pool)

        def due(case: str) -> tuple[UUID, list[UUID]]:
            (folder := tmp_path / case).mkdir()
            variables, no_more = CASES[case]
            holds = deployed(client, folder, BUSY.format(folder=str(folder)), "busy", pool, job_variables=variables)
            assert len(no_more) + 2 <= AHEAD, "the worker fetches all of them before they change"
            run, *others = (
                client.create_flow_run_from_deployment(holds if n == 0 else deployment).id
                for n in range(len(no_more) + 2)
            )
            return run, others

        now, following = due("fork"), "process"
        with one_slot(tmp_path, pool):
            for case, (_, no_more) in CASES.items():
                run, (*unwanted, wanted) = now
                until(client, run, "Running")
                patience.until((tmp_path / case / "busy").exists)
                for each, state in zip(unwanted, no_more, strict=True):
                    client.set_flow_run_state(each, state, force=True)
                if case != following:
                    now = due(following)  # which the worker fetches once the slot is free
                client.set_flow_run_state(run, Cancelling())
                until(client, run, "Cancelled")
                retried: State[Any] = PUT_OFF if case == "fork" else Running()  # by another worker
                client.set_flow_run_state(run, retried, force=True)
                (tmp_path / case / "let-go").touch()
                until(client, wanted, "Completed")  # the slot is free, so the first is over for the worker
                assert client.read_flow_run(run).state_name == retried.name
                for each, state in zip(unwanted, no_more, strict=True):
                    names = [known.name for known in client.read_flow_run_states(each)]
                    assert names == ["Scheduled", state.name]
