"""A night whose process dies is run again: killed alone, with the warm process, or with all of `stockml up`."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import gethostname
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.events import Event
from prefect.events.filters import EventFilter
from prefect.states import Cancelling, Crashed, Pending, Running, Scheduled, State

from stockml.storage.process_marks import mark
from tasks.run_records import (
    A_NIGHT,
    ABORTED,
    AGAIN,
    GONE_AFTER,
    HEARTBEAT,
    LOST_AFTER,
    MOST_DEATHS,
    SILENT,
    crash_orphans,
    do_lost_again,
    done_again,
)
from tests.support import patience
from tests.support.workers import deployed, one_slot, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("lasting_server")]

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


def test_a_night_whose_process_is_killed_is_run_again_but_not_for_ever(tmp_path: Path) -> None:
    """One night dies once; the other has died before and always will."""
    pool = f"killed {uuid4()}"
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        deployment = deployed(client, tmp_path, DIES.format(folder=str(tmp_path)), "nightly", pool)
        once, always = (
            client.create_flow_run_from_deployment(deployment, parameters={"ticker": name, "deaths": deaths}).id
            for name, deaths in (("ONCE", 1), ("ALWAYS", 9))
        )
        for _ in range(1, MOST_DEATHS):
            client.set_flow_run_state(always, Running(), force=True)
            assert done_again(client, always, "killed")
        client.set_flow_run_state(always, Scheduled(scheduled_time=datetime.now(UTC)), force=True)
        with one_slot(tmp_path, pool, every_s=1):
            for run_id, end, attempts in ((once, "Completed", 2), (always, "Crashed", MOST_DEATHS + 1)):
                until(client, run_id, "AwaitingRetry")
                run = client.read_flow_run(run_id)
                assert run.state
                assert "its process was killed by signal 9; done again at " in str(run.state.message)
                assert run.infrastructure_pid is None, "otherwise cancelling it would wait for that process"
                client.set_flow_run_state(run_id, Scheduled(scheduled_time=datetime.now(UTC)), force=True)
                until(client, run_id, end)
                assert client.read_flow_run(run_id).run_count == attempts
    assert [(tmp_path / name).read_text() for name in ("ONCE", "ALWAYS")] == ["TT", "TT"]


def test_a_night_that_was_lost_with_its_worker_is_run_again_by_the_next(tmp_path: Path) -> None:
    """Whether or not the server has ended it. One that died too often or otherwise, was cancelled or slept is left."""
    pool = f"lost {uuid4()}"
    ends: dict[str, State[Any]] = dict.fromkeys(("LOST", "OFTEN", "ASLEEP", "STOPPED"), Crashed(message=SILENT))
    ends |= {"FAILED": Crashed(message="died"), "SILENT": Running(), "AT WORK": Running()}
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        deployment = deployed(client, tmp_path, DIES.format(folder=str(tmp_path)), "nightly", pool)
        made = {
            name: client.create_flow_run_from_deployment(deployment, parameters={"ticker": name, "deaths": 0}).id
            for name in ends
        }

        def found() -> dict[str, str | None]:
            return {name: client.read_flow_run(run_id).state_name for name, run_id in made.items()}

        other = client.create_flow_from_name("pretrain")
        made["OTHER"] = client.create_flow_run_from_deployment(client.create_deployment(other, pool)).id
        ends["OTHER"] = Running()
        for _ in range(MOST_DEATHS):
            client.set_flow_run_state(made["OFTEN"], Running(), force=True)
            assert done_again(client, made["OFTEN"], "killed")
        for name, run_id in made.items():
            process = {"infrastructure_pid": mark() if name in ("ASLEEP", "AT WORK") else "elsewhere:1"}
            client.request("PATCH", "/flow_runs/{id}", path_params={"id": run_id}, json=process)
            client.set_flow_run_state(run_id, Cancelling() if name == "STOPPED" else Running(), force=True)
            client.set_flow_run_state(run_id, ends[name], force=True)
        left = {name: str(end.name) for name, end in ends.items()}
        do_lost_again(datetime.now(UTC) + 2 * A_NIGHT)
        assert found() == left | {"SILENT": "AwaitingRetry"}, "a night that ended long ago stays as it is"
        with one_slot(tmp_path, pool, every_s=1):
            until(client, made["LOST"], "AwaitingRetry")
            assert "done again at " in str(client.read_flow_run(made["LOST"]).state)
            client.set_flow_run_state(made["LOST"], Scheduled(scheduled_time=datetime.now(UTC)), force=True)
            until(client, made["LOST"], "Completed")
        assert found() == left | {"SILENT": "AwaitingRetry", "LOST": "Completed"}


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


def test_a_night_that_ends_because_its_worker_is_gone_is_run_again_by_the_next(tmp_path: Path) -> None:
    """A run in its own process has a pipe to its worker; rich exits when that breaks."""
    pool = f"outlived {uuid4()}"
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        alone = {"job_variables": {"command": f"{sys.executable} -m prefect.engine"}}
        source = OUTLIVES.format(folder=str(tmp_path))
        deployment = deployed(client, tmp_path, source, "nightly", pool, **alone)
        run = client.create_flow_run_from_deployment(deployment, parameters={"ticker": "OUTLIVES"}).id
        with one_slot(tmp_path, pool, every_s=1) as worker:
            patience.until((tmp_path / "OUTLIVES").exists)
            worker.kill()
        until(client, run, "Crashed")
        assert str(client.read_flow_run(run).state.message).startswith(ABORTED), "or another reason requeues it"
        with one_slot(tmp_path, pool, every_s=1):
            until(client, run, "AwaitingRetry")
            assert f"{AGAIN} " in str(client.read_flow_run(run).state)
            client.set_flow_run_state(run, Scheduled(scheduled_time=datetime.now(UTC)), force=True)
            until(client, run, "Completed")
        assert client.read_flow_run(run).run_count == 2


def test_a_night_whose_process_is_known_to_be_gone_is_run_again_after_a_minute(tmp_path: Path) -> None:
    """A process of another host may be at work: only its silence tells. One that sends heartbeats is alive."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = f"{gethostname()}:{ended.pid}"
    with get_client(sync_client=True) as client:
        pool = client.create_work_pool(WorkPoolCreate(name=f"gone {uuid4()}", type="process")).name
        deployment = deployed(client, tmp_path, DIES, "nightly", pool)

        def run(process: str) -> UUID:
            made = client.create_flow_run_from_deployment(deployment, parameters={"ticker": "GONE"}).id
            client.request("PATCH", "/flow_runs/{id}", path_params={"id": made}, json={"infrastructure_pid": process})
            client.set_flow_run_state(made, Running(), force=True)
            return made

        def names_after(passed: timedelta) -> list[str | None]:
            do_lost_again(beat.occurred + passed)
            return [client.read_flow_run(each).state_name for each in runs]

        runs = [run(gone), run("elsewhere:1"), run(gone)]
        beat = Event(event=HEARTBEAT, resource={"prefect.resource.id": f"prefect.flow-run.{runs[-1]}"}, id=uuid4())
        client.request("POST", "/events", json=[beat.model_dump(mode="json")])
        told = EventFilter.model_validate({"event": {"name": [HEARTBEAT]}, "id": {"id": [str(beat.id)]}})
        patience.until(lambda: bool(client.read_events(told, limit=1).events))
        assert names_after(timedelta(seconds=30)) == ["Running", "Running", "Running"]
        assert names_after(GONE_AFTER - timedelta(milliseconds=1)) == ["AwaitingRetry", "Running", "Running"]
        assert f"its process {ended.pid} is gone; done again at" in str(client.read_flow_run(runs[0]).state)
        assert names_after(timedelta(minutes=3)) == ["AwaitingRetry", "Running", "AwaitingRetry"]


def test_a_night_whose_worker_died_before_it_began_is_run_again(tmp_path: Path) -> None:
    """It would stay Pending for ever and hold its ticker's only slot. One that waits for a container may take long."""
    with get_client(sync_client=True) as client:
        pool = client.create_work_pool(WorkPoolCreate(name=f"taken {uuid4()}", type="process")).name
        deployment = deployed(client, tmp_path, DIES, "nightly", pool)
        taken = {}
        for process in (None, mark(), "elsewhere:1", "a-cluster:stockml:a-job"):
            made = client.create_flow_run_from_deployment(deployment, parameters={"ticker": "TAKEN"}).id
            client.request("PATCH", "/flow_runs/{id}", path_params={"id": made}, json={"infrastructure_pid": process})
            taken[process] = client.set_flow_run_state(made, Pending(), force=True).state.timestamp, made

        def names_after(passed: timedelta) -> list[str | None]:
            do_lost_again(max(at for at, _ in taken.values()) + passed)
            return [client.read_flow_run(made).state_name for _, made in taken.values()]

        assert names_after(LOST_AFTER - timedelta(minutes=1)) == ["Pending"] * 4
        assert names_after(LOST_AFTER) == ["AwaitingRetry", "Pending", "AwaitingRetry", "Pending"]
        state = str(client.read_flow_run(taken[None][1]).state)
        assert f"taken by a worker at {taken[None][0]:%Y-%m-%d %H:%M} UTC and never begun; done again at" in state


@pytest.mark.parametrize("state", [Running(), Pending()])
def test_a_scheduled_night_that_a_power_cut_ended_is_run_again_once_all_is_up(state: State) -> None:
    now = datetime.now(UTC)
    daily = [DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(days=1), anchor_date=now))]
    with get_client(sync_client=True) as client:
        pool = client.create_work_pool(WorkPoolCreate(name=f"cut short {uuid4()}", type="process")).name
        flow = client.create_flow_from_name("nightly")
        deployment = client.create_deployment(flow, f"night-{uuid4()}", schedules=daily, work_pool_name=pool)
        day = {"start_time": str(now), "end_time": str(now + timedelta(days=1, hours=1)), "max_runs": 1}
        client.request("POST", "/deployments/{id}/schedule", path_params={"id": deployment}, json=day)
        wanted = FlowRunFilter.model_validate({"deployment_id": {"any_": [deployment]}})
        run = client.read_flow_runs(flow_run_filter=wanted)[0]
        assert run.auto_scheduled
        client.set_flow_run_state(run.id, state, force=True)
        told = [line for line in crash_orphans() if run.name in line]
        assert told == [f"{run.name}, which is done again"]
        assert client.read_flow_run(run.id).state_name == "AwaitingRetry"
        client.set_flow_run_state(run.id, state, force=True)
        crash_orphans(now + timedelta(days=2))
        assert client.read_flow_run(run.id).state_name == "Crashed", "too long ago to be tonight's"
        for _ in range(1, MOST_DEATHS):
            client.set_flow_run_state(run.id, state, force=True)
            assert done_again(client, run.id, "killed")
            assert done_again(client, run.id, "killed"), "it is already in the queue, and has not died twice"
        client.set_flow_run_state(run.id, state, force=True)
        assert not done_again(client, run.id, "killed"), "the limit holds for one that dies before it begins, too"
        client.delete_deployment(deployment)


def test_a_night_begun_by_hand_is_done_again_too_and_one_that_a_person_cancelled_stays_so(tmp_path: Path) -> None:
    """As Quick run begins one: of a deployment, but by no schedule."""
    ends = {"RUNNING": Running(), "PENDING": Pending(), "CANCELLED": Cancelling()}
    with get_client(sync_client=True) as client:
        pool = client.create_work_pool(WorkPoolCreate(name=f"by hand {uuid4()}", type="process")).name
        deployment = deployed(client, tmp_path, DIES, "nightly", pool)
        made = {}
        for name, state in ends.items():
            made[name] = run = client.create_flow_run_from_deployment(deployment, parameters={"ticker": name})
            process = {"infrastructure_pid": "elsewhere:1"}  # without one, cancelling is over at once
            client.request("PATCH", "/flow_runs/{id}", path_params={"id": run.id}, json=process)
            for each in (Running(), state):
                client.set_flow_run_state(run.id, each, force=True)
        told = [line for line in crash_orphans() if any(name in line for name in made)]
        states = {name: client.read_flow_run(run.id).state_name for name, run in made.items()}
        client.delete_deployment(deployment)
    assert states == {"RUNNING": "AwaitingRetry", "PENDING": "AwaitingRetry", "CANCELLED": "Cancelled"}
    again = [f"{name} ({made[name].name}), which is done again" for name in ("RUNNING", "PENDING")]
    assert sorted(told) == sorted([*again, f"CANCELLED ({made['CANCELLED'].name})"])
