"""A worker outlives what would end Prefect's own, or take one of its slots for good."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import WorkPoolStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from deployments.servers import stack
from stockml.storage.process_marks import is_of_this_host
from tests.deployments.test_process_worker_runs import BUSY, QUICK
from tests.support import patience
from tests.support.workers import deployed, one_slot, until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("lasting_server")]

POOL = "deleted"
ASKS_A_SERVER_THAT_FAILS = """
import sys
from json import JSONDecodeError
from pathlib import Path
from httpx import HTTPStatusError, Request, Response
from prefect.client.orchestration import PrefectClient
from prefect.workers._worker_channel import WorkPoolWorkerChannel
from deployments.servers.worker_program import main

def refused(status):
    return HTTPStatusError("no", request=Request("GET", "/"), response=Response(status))

def failing(method, *errors):
    real, left = getattr(PrefectClient, method), [*errors]
    async def asked(self, *given, **more):
        if left and (method != "request" or "get_scheduled_flow_runs" in given[1]):
            with Path("failed").open("a") as failed:
                failed.write(method + "\\n")
            raise left.pop()
        return await real(self, *given, **more)
    setattr(PrefectClient, method, asked)

failing("read_deployment", refused(500), JSONDecodeError("no JSON", "<html>", 0))
failing("request", refused(403))
failing("send_worker_heartbeat", refused(403))
WorkPoolWorkerChannel.url = None  # as behind a proxy without web sockets, through which Prefect else sends heartbeats
main(sys.argv[1:])
"""
FAILS = ["read_deployment", "read_deployment", "request", "send_worker_heartbeat"]


PATIENT = """
from prefect import flow
from prefect.settings import PREFECT_CLIENT_RETRY_EXTRA_CODES


@flow
def patient() -> None:
    assert PREFECT_CLIENT_RETRY_EXTRA_CODES.value() == {500, 504}
"""


@pytest.fixture
def pool() -> str:
    name = f"faults {uuid4()}"
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=name, type="process"))
    return name


@pytest.fixture(scope="module")
def worker(lasting_server: None, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[subprocess.Popen[bytes]]":
    """A worker of POOL with the settings of `stockml up`'s, which polls more than once between two heartbeats."""
    given = stack.worker({}, "this machine").environ
    assert given["PREFECT_CLIENT_RETRY_EXTRA_CODES"] == "500,504"
    with pytest.MonkeyPatch.context() as patch, get_client(sync_client=True) as client:
        for name, value in {**given, "PREFECT_WORKER_HEARTBEAT_SECONDS": "4"}.items():
            patch.setenv(name, value)
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        with one_slot(tmp_path_factory.mktemp("worker"), POOL, every_s=1) as running:
            yield running


def test_a_server_that_answers_wrongly_ends_no_worker_and_the_run_is_started_at_a_later_poll(
    tmp_path: Path, pool: str
) -> None:
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(deployed(client, tmp_path, QUICK, "quick", pool)).id
        with one_slot(tmp_path, pool, every_s=1, program=("-c", ASKS_A_SERVER_THAT_FAILS)) as worker:
            until(client, run, "Completed")
            assert worker.poll() is None
    assert sorted((tmp_path / "failed").read_text().split()) == FAILS


@pytest.mark.usefixtures("worker")
def test_a_worker_and_its_runs_ask_a_server_again_that_fails_within(tmp_path: Path) -> None:
    """The run itself looks at its setting, and fails without it."""
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(deployed(client, tmp_path, PATIENT, "patient", POOL)).id
        until(client, run, "Completed")
        assert client.read_flow_run(run).run_count == 1


def test_a_worker_whose_pool_is_deleted_makes_it_again_and_goes_on(
    tmp_path: Path, worker: "subprocess.Popen[bytes]"
) -> None:
    with get_client(sync_client=True) as client:

        def is_there() -> bool:
            assert worker.poll() is None
            with suppress(ObjectNotFound):
                return client.read_work_pool(POOL).status == WorkPoolStatus.READY
            return False

        patience.until(is_there)
        client.delete_work_pool(POOL)
        patience.until(is_there)
        run = client.create_flow_run_from_deployment(deployed(client, tmp_path, QUICK, "quick", POOL)).id
        until(client, run, "Completed")


def test_a_run_that_is_deleted_before_its_turn_or_whose_deployment_is_takes_no_slot(tmp_path: Path, pool: str) -> None:
    with get_client(sync_client=True) as client:
        busy = deployed(client, tmp_path, BUSY.format(folder=str(tmp_path)), "busy", pool)
        removed, kept = (deployed(client, tmp_path, QUICK, "quick", pool, called) for called in ("removed", "kept"))
        wanted = (busy, removed, kept, kept)
        holds, _, gone, last = (client.create_flow_run_from_deployment(each).id for each in wanted)
        with one_slot(tmp_path, pool) as worker:
            patience.until((tmp_path / "busy").exists)
            patience.until(
                lambda: is_of_this_host(client.read_flow_run(holds).infrastructure_pid)
            )  # else nobody sees it end
            client.delete_deployment(removed)
            client.delete_flow_run(gone)
            client.set_flow_run_state(holds, Cancelling())
            (tmp_path / "let-go").touch()
            until(client, last, "Completed")
            assert worker.poll() is None
