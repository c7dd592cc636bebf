"""What the worker does with a run before it starts, and when it asks for one."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.states import AwaitingRetry, Cancelled, Cancelling, Completed
from prefect.utilities.processutils import command_from_string

from deployments.servers import process_worker
from deployments.servers.process_worker import (
    AHEAD,
    CERTIFICATE,
    ENTRYPOINT,
    CachingClient,
    WarmConfiguration,
    keep_certificate,
)
from deployments.servers.warm_run import ADDRESS, COMMAND
from stockml.errors import UnlikeWorker
from stockml.home import home
from tasks.workplace import own_code
from tests.support import patience
from tests.support.workers import deployed, one_slot, until

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


def prepared(deployment: DeploymentResponse | None = None, **environ: str) -> WarmConfiguration:
    run = WarmConfiguration(env=dict(environ))
    run.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=uuid4(), name="IBM 2013-03-01"), deployment)
    return run


def test_our_worker_replaces_prefects_own_once_it_is_installed() -> None:
    code = """
        from prefect.workers.base import BaseWorker
        from deployments.servers import process_worker
        before = BaseWorker.get_worker_class_from_type("process")
        process_worker.install()
        after = BaseWorker.get_worker_class_from_type("process")
        print(before.__name__, after.__name__, after.type)
    """
    ran = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["ProcessWorker", "WarmWorker", "process"]


def deployment_of(entrypoint: str, steps: Sequence[Mapping[str, Any]] = ()) -> DeploymentResponse:
    found = {"id": uuid4(), "name": "IBM", "flow_id": uuid4(), "entrypoint": entrypoint, "pull_steps": [*steps]}
    return DeploymentResponse.model_validate(found)


def test_a_run_with_another_state_or_code_is_refused_and_both_values_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCKML_STATE", "s3://mine")
    with pytest.raises(UnlikeWorker, match="STOCKML_STATE: expected s3://the-runs, found s3://mine"):
        prepared(STOCKML_STATE="s3://the-runs", STOCKML_CODE=own_code())
    monkeypatch.delenv("STOCKML_STATE")
    with pytest.raises(UnlikeWorker, match="the code: expected 000000000000, found"):
        prepared(STOCKML_STATE="s3://the-runs", STOCKML_CODE="0" * 64)


def test_other_runs_are_started_warm_if_there_is_a_warm_server(monkeypatch: pytest.MonkeyPatch) -> None:
    run = prepared(STOCKML_STATE="s3://the-runs", STOCKML_CODE=own_code())
    assert run.env["STOCKML_STATE"] == "s3://the-runs"
    assert not run._command_configured, "by Prefect itself"
    monkeypatch.setenv(ADDRESS, "/somewhere")
    warm = prepared()
    assert (warm._command_configured, command_from_string(str(warm.command))) == (True, COMMAND)


def test_a_run_skips_what_its_worker_has_done_and_keeps_its_own_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STOCKML_HOME", str(tmp_path))
    keep_certificate(home().prefect)
    run = prepared(PREFECT_API_URL="http://127.0.0.1:4200/api")
    assert run.env["PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED"] == "false"
    assert run.env["PREFECT_API_SSL_CERT_FILE"] == str(home().prefect / CERTIFICATE)
    trusted = ssl.create_default_context(cafile=run.env["PREFECT_API_SSL_CERT_FILE"])
    assert len(trusted.get_ca_certs()) == 1
    elsewhere = prepared(PREFECT_API_URL="https://prefect.example.com/api")
    assert "PREFECT_API_SSL_CERT_FILE" not in elsewhere.env
    given = {"PREFECT_API_SSL_CERT_FILE": "/mine.pem", "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "true"}
    own = prepared(PREFECT_API_URL="http://127.0.0.1:4200/api", **given)
    assert {name: own.env[name] for name in given} == given


def test_a_run_of_an_installed_module_is_told_where_its_flow_is() -> None:
    assert prepared(deployment_of("flows.nightly")).env[ENTRYPOINT] == "flows.nightly"
    assert prepared(deployment_of("flows.nightly"), **{ENTRYPOINT: "mine"}).env[ENTRYPOINT] == "mine"
    step = {"prefect.deployments.steps.set_working_directory": {"directory": "/elsewhere"}}
    for other in (deployment_of("flows/nightly.py:nightly"), deployment_of("flows.nightly", [step])):
        assert ENTRYPOINT not in prepared(other).env, "a deployment that fetches its code says where it is"


class Asked:
    """A server whose answers change each time."""

    def __init__(self) -> None:
        self.deployments, self.flows = 0, 0

    async def read_deployment(self, deployment_id: UUID) -> int:
        self.deployments += 1
        return self.deployments

    async def read_flow(self, flow_id: UUID) -> int:
        self.flows += 1
        return self.flows


def test_a_deployment_is_read_once_per_run_and_not_remembered_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, id_of = Asked(), uuid4()
    told: Any = CachingClient(server)  # type: ignore[arg-type] # two methods of Prefect's client
    assert told.flows == 0, "everything else comes from the client itself"

    async def ask(times: int) -> list[Any]:
        return [await told.read_deployment(id_of) for _ in range(times)]

    assert asyncio.run(ask(5)) == [1, 1, 2, 2, 3]
    monkeypatch.setattr(process_worker, "ASKED_TWICE_WITHIN_S", -1.0)
    assert asyncio.run(ask(2)) == [4, 5], "the third answer has expired"
    assert [asyncio.run(told.read_flow(id_of)) for _ in range(2)] == [1, 1]


@pytest.mark.slow
@pytest.mark.usefixtures("lasting_server")
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
            client.set_flow_run_state(put_off, AwaitingRetry(scheduled_time=datetime(2100, 1, 1, tzinfo=UTC)))
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


PUT_OFF = AwaitingRetry(scheduled_time=datetime(2100, 1, 1, tzinfo=UTC))
CASES: dict[str, tuple[dict[str, str], Sequence[State]]] = {
    # how the busy run is started, and the others' states when their turn comes
    "fork": ({}, (Cancelled(), PUT_OFF)),
    "process": ({"command": f"{sys.executable} -u -m prefect.engine"}, (Completed(),)),  # done by another worker
}


@pytest.mark.slow
@pytest.mark.usefixtures("lasting_server")
def test_runs_no_longer_due_are_not_started_and_a_cancelled_run_that_is_retried_stays_queued(tmp_path: Path) -> None:
    """A run holds the worker's only slot until `let-go` exists; the one run still wanted is queued behind the others.

    The first is too busy to answer, and a process's output closes only after somebody has pressed Retry.
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
                client.set_flow_run_state(run, AwaitingRetry(scheduled_time=datetime.now(UTC) + timedelta(hours=1)))
                (tmp_path / case / "let-go").touch()
                until(client, wanted, "Completed")  # the slot is free, so the first is over for the worker
                assert client.read_flow_run(run).state_name == "AwaitingRetry"
                for each, state in zip(unwanted, no_more, strict=True):
                    names = [known.name for known in client.read_flow_run_states(each)]
                    assert names == ["Scheduled", state.name]
