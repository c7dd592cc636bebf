"""A night whose process or worker is gone is run again, by what Prefect's server knows of it.

With workers: test_process_worker_runs.py.
"""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from socket import gethostname
from uuid import UUID, uuid4

import pytest
from prefect import Flow, Task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.events import Event
from prefect.events.filters import EventFilter
from prefect.states import Cancelled, Cancelling, Crashed, Pending, Running, State

from stockml.storage.process_marks import mark
from tasks import lost_runs
from tasks.lost_runs import (
    ABORTED,
    GONE_AFTER,
    HEARTBEAT,
    LOST_AFTER,
    MAX_SILENCE,
    SILENT,
    dead_runs,
    deaths,
    reap,
    reap_lost,
    requeue,
)
from tasks.maintenance import end_zombies
from tests.support import patience
from tests.support.workers import deployed

pytestmark = pytest.mark.slow

UNFINISHED = {"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "CANCELLING"]}}}
NIGHTLY = "from prefect import flow\n\n\n@flow\ndef nightly(ticker: str) -> None: ...\n"


@pytest.fixture(autouse=True)
def _nothing_left_unfinished(prefect_server: None) -> Iterator[None]:
    """The session's server has no unfinished run afterwards."""
    yield
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(UNFINISHED)):
            client.delete_flow_run(run.id)


def test_a_night_whose_process_is_known_to_be_gone_is_run_again_after_a_minute(tmp_path: Path) -> None:
    """A process of another host may be at work: only its silence tells. One that sends heartbeats is alive."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone = f"{gethostname()}:{ended.pid}"
    with get_client(sync_client=True) as client:
        pool = client.create_work_pool(WorkPoolCreate(name=f"gone {uuid4()}", type="process")).name
        deployment = deployed(client, tmp_path, NIGHTLY, "nightly", pool)

        def run(process: str) -> UUID:
            made = client.create_flow_run_from_deployment(deployment, parameters={"ticker": "GONE"}).id
            client.request("PATCH", "/flow_runs/{id}", path_params={"id": made}, json={"infrastructure_pid": process})
            client.set_flow_run_state(made, Running(), force=True)
            return made

        def names_after(passed: timedelta) -> list[str | None]:
            reap_lost(beat + passed)
            return [client.read_flow_run(each).state_name for each in runs]

        by_hand = client.create_flow_run(Flow(fn=deployed, name="nightly"), state=Running()).id  # in a terminal
        client.request("PATCH", "/flow_runs/{id}", path_params={"id": by_hand}, json={"infrastructure_pid": gone})
        runs = [run(gone), run("elsewhere:1"), run(gone), by_hand]
        beat = heartbeat(client, runs[2], datetime.now(UTC))
        assert names_after(timedelta(seconds=30)) == ["Running"] * 4
        assert names_after(GONE_AFTER - timedelta(milliseconds=1)) == ["AwaitingRetry", "Running", "Running", "Crashed"]
        assert f"its process {ended.pid} is gone; done again at" in str(client.read_flow_run(runs[0]).state)
        assert names_after(timedelta(minutes=3)) == ["AwaitingRetry", "Running", "AwaitingRetry", "Crashed"]


def test_a_night_of_many_tickers_whose_process_is_gone_is_run_again_and_its_own_nights_end(tmp_path: Path) -> None:
    """They would hold their tickers' only slots, and what they have finished is not done twice."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with get_client(sync_client=True) as client:
        pool = client.create_work_pool(WorkPoolCreate(name=f"many {uuid4()}", type="process")).name
        many = deployed(client, tmp_path, NIGHTLY.replace("nightly(", "universe("), "universe", pool)
        run = client.create_flow_run_from_deployment(many, parameters={"ticker": "MANY"})
        process = {"infrastructure_pid": f"{gethostname()}:{gone.pid}"}
        client.request("PATCH", "/flow_runs/{id}", path_params={"id": run.id}, json=process)
        began = client.set_flow_run_state(run.id, Running(), force=True).state.timestamp
        task = client.create_task_run(Task(fn=deployed, name="night"), run.id, "0", state=Running())
        night = client.create_flow_run(Flow(fn=deployed, name="nightly"), parent_task_run_id=task.id, state=Running())
        reap_lost(began + LOST_AFTER)
        states = [client.read_flow_run(each.id).state_name for each in (run, night)]
        for each in (run, night):
            client.set_flow_run_state(each.id, Running(), force=True)
            client.request("PATCH", "/flow_runs/{id}", path_params={"id": each.id}, json=process)
        reap_lost(datetime.now(UTC) + GONE_AFTER)
        again, ended = (client.read_flow_run(each.id).state for each in (run, night))
    assert states == ["AwaitingRetry", "Cancelled"], "crashed, it would be told, though nothing has failed"
    assert again.name == "AwaitingRetry"
    why = f"its process {gone.pid} is gone; done again with the run that it belongs to"
    assert (ended.name, ended.message) == ("Cancelled", why), "not: run it again"


def test_a_night_whose_worker_died_before_it_began_is_run_again(tmp_path: Path) -> None:
    """It would stay Pending for ever and hold its ticker's only slot. One that waits for a container may take long."""
    with get_client(sync_client=True) as client:
        pool = client.create_work_pool(WorkPoolCreate(name=f"taken {uuid4()}", type="process")).name
        deployment = deployed(client, tmp_path, NIGHTLY, "nightly", pool)
        taken = {}
        for process in (None, mark(), "elsewhere:1", "a-cluster:stockml:a-job"):
            made = client.create_flow_run_from_deployment(deployment, parameters={"ticker": "TAKEN"}).id
            client.request("PATCH", "/flow_runs/{id}", path_params={"id": made}, json={"infrastructure_pid": process})
            taken[process] = client.set_flow_run_state(made, Pending(), force=True).state.timestamp, made

        def names_after(passed: timedelta) -> list[str | None]:
            reap_lost(max(at for at, _ in taken.values()) + passed)
            return [client.read_flow_run(made).state_name for _, made in taken.values()]

        assert names_after(LOST_AFTER - timedelta(minutes=1)) == ["Pending"] * 4
        assert names_after(LOST_AFTER) == ["AwaitingRetry", "Pending", "AwaitingRetry", "Pending"]
        state = str(client.read_flow_run(taken[None][1]).state)
        assert f"taken by a worker at {taken[None][0]:%Y-%m-%d %H:%M} UTC and never begun; done again at" in state


def test_work_of_hours_elsewhere_that_only_sent_no_heartbeat_is_not_done_twice(tmp_path: Path) -> None:
    """The server crashes it after an outage of its own, and its process goes on; a night's is sent away by its lock."""
    again = {}
    with get_client(sync_client=True) as client:
        pool = client.create_work_pool(WorkPoolCreate(name=f"silent {uuid4()}", type="process")).name
        for name in ("pretrain", "nightly"):
            deployment = deployed(client, tmp_path, NIGHTLY.replace("nightly(", f"{name}("), name, pool)
            run = client.create_flow_run_from_deployment(deployment, parameters={"ticker": "SILENT"}).id
            process = {"infrastructure_pid": "elsewhere:1"}
            client.request("PATCH", "/flow_runs/{id}", path_params={"id": run}, json=process)
            for state in (Running(), Crashed(message=f"{SILENT} 300.0 seconds")):
                client.set_flow_run_state(run, state, force=True)
            reap_lost()
            again[name] = client.read_flow_run(run).state_name
    assert again == {"pretrain": "Crashed", "nightly": "AwaitingRetry"}


@pytest.mark.parametrize("state", [Running(), Pending()])
@pytest.mark.parametrize("name", ["nightly", "pretrain", "maintenance", "missing forecasts"])
def test_a_scheduled_run_that_a_power_cut_ended_is_run_again_but_not_for_ever(name: str, state: State) -> None:
    """Of a lost digest nobody was told until the next morning, and bases are learned once a year."""
    now, weekly = datetime.now(UTC), partial(end_zombies.fn, dry_run=False)
    daily = [DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(days=1), anchor_date=now))]
    with get_client(sync_client=True) as client:
        pool = client.create_work_pool(WorkPoolCreate(name=f"cut short {uuid4()}", type="process")).name
        flow = client.create_flow_from_name(name)
        deployment = client.create_deployment(flow, f"of {uuid4()}", schedules=daily, work_pool_name=pool)
        day = {"start_time": str(now), "end_time": str(now + timedelta(days=1, hours=1)), "max_runs": 1}
        client.request("POST", "/deployments/{id}/schedule", path_params={"id": deployment}, json=day)
        wanted = FlowRunFilter.model_validate({"deployment_id": {"any_": [deployment]}})
        run = client.read_flow_runs(flow_run_filter=wanted)[0]
        assert run.auto_scheduled
        for reaps in (reap_lost, weekly, reap_lost):
            client.set_flow_run_state(run.id, state, force=True)
            reaps(datetime.now(UTC) + timedelta(days=2))  # for which the machine was off
            assert client.read_flow_run(run.id).state_name == "AwaitingRetry"
            assert requeue(client, run.id, "killed"), "it is already in the queue, and has not died twice"
        client.set_flow_run_state(run.id, state, force=True)
        reap_lost(datetime.now(UTC) + MAX_SILENCE)
        ended = client.read_flow_run(run.id).state
        assert ended.name == "Crashed", "the limit holds for one that dies before it begins, too"
        assert ended.message.startswith("nothing works on this run any more, ")
        client.delete_deployment(deployment)


def test_a_night_begun_by_hand_is_done_again_too_and_one_that_a_person_cancelled_stays_so(tmp_path: Path) -> None:
    """As Quick run begins one: of a deployment, but by no schedule."""
    ends = {"RUNNING": [Running()], "PENDING": [Pending()], "CANCELLED": [Cancelling()]}
    ends["OUTLIVED"] = [Cancelling(), Cancelled(), Crashed(message=ABORTED)]  # by a process that nobody told
    with get_client(sync_client=True) as client:
        pool = client.create_work_pool(WorkPoolCreate(name=f"by hand {uuid4()}", type="process")).name
        deployment = deployed(client, tmp_path, NIGHTLY, "nightly", pool)
        made = {}
        for name, states_of in ends.items():
            made[name] = run = client.create_flow_run_from_deployment(deployment, parameters={"ticker": name})
            process = {"infrastructure_pid": "elsewhere:1"}  # without one, cancelling is over at once
            client.request("PATCH", "/flow_runs/{id}", path_params={"id": run.id}, json=process)
            for each in (Running(), *states_of):
                client.set_flow_run_state(run.id, each, force=True)
        reap_lost(datetime.now(UTC) + LOST_AFTER)
        states = {name: client.read_flow_run(run.id).state_name for name, run in made.items()}
        client.delete_deployment(deployment)
    again = {"RUNNING": "AwaitingRetry", "PENDING": "AwaitingRetry"}
    assert states == again | {"CANCELLED": "Cancelled", "OUTLIVED": "Crashed"}


def heartbeat(client: SyncPrefectClient, run_id: UUID, occurred: datetime) -> datetime:
    """Have the server receive a heartbeat of the run, dated by the run's own clock; returns that time."""
    beat = Event(event=HEARTBEAT, resource={"prefect.resource.id": f"prefect.flow-run.{run_id}"}, occurred=occurred)
    client.request("POST", "/events", json=[beat.model_dump(mode="json")])
    told = EventFilter.model_validate({"event": {"name": [HEARTBEAT]}, "id": {"id": [str(beat.id)]}})
    patience.until(lambda: bool(client.read_events(told, limit=1).events))
    return occurred


def test_clocks_that_differ_by_minutes_make_no_living_night_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the worker which looks is ahead of the server's, that of the night's machine behind it."""

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Ahead":
            return super().now(tz) + 2 * LOST_AFTER

    with get_client(sync_client=True) as client:
        pool = client.create_work_pool(WorkPoolCreate(name=f"clocks {uuid4()}", type="process")).name
        deployment = deployed(client, tmp_path, NIGHTLY, "nightly", pool)
        made = client.create_flow_run_from_deployment(deployment, parameters={"ticker": "CLOCKS"}).id
        began = client.set_flow_run_state(made, Running(), force=True).state
        with monkeypatch.context() as clock:
            clock.setattr(lost_runs, "datetime", Ahead)
            reap_lost()
        assert client.read_flow_run(made).state_id == began.id
        heartbeat(client, made, datetime.now(UTC) - 2 * LOST_AFTER)
        reap_lost(began.timestamp + LOST_AFTER)
        assert client.read_flow_run(made).state_id == began.id


def test_a_night_that_another_worker_put_back_and_that_has_begun_again_is_left_alone(tmp_path: Path) -> None:
    """A worker that finds hundreds of dead runs reaps the last of them minutes later."""
    with get_client(sync_client=True) as client:
        pool = client.create_work_pool(WorkPoolCreate(name=f"two workers {uuid4()}", type="process")).name
        deployment = deployed(client, tmp_path, NIGHTLY, "nightly", pool)
        made = client.create_flow_run_from_deployment(deployment, parameters={"ticker": "AGAIN"}).id
        client.set_flow_run_state(made, Running(), force=True)
        ((dead, why),) = dead_runs(client, datetime.now(UTC) + LOST_AFTER)
        assert requeue(client, made, "found dead by another worker")
        put_back = client.read_flow_run(made).state
        client.set_flow_run_state(made, put_back.model_copy(update={"id": uuid4()}), force=True)  # by a third
        assert deaths(client, made) == 1
        begun = client.set_flow_run_state(made, Running(), force=True).state
        reap(client, dead, why)
        assert client.read_flow_run(made).state_id == begun.id
