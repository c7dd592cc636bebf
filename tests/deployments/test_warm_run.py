"""A worker's run is a fork of a process that has imported everything, and ends as a process of its own would."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import anyio
import anyio.to_thread
import psutil
import pytest
from anyio.abc import TaskStatus
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from deployments.servers.warm_run import ADDRESS, COMMAND, Fork, run_process
from deployments.servers.worker_program import warm_server
from stockml.home import HomePaths
from tests.support.patience import PATIENCE_S, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks after imports: on Linux only"),
]
PROJECT = Path(__file__).parents[2]
# a worker with one run
WORKER = """
import os, anyio
from deployments.servers.warm_run import COMMAND, run_process

async def run():
    return await run_process(COMMAND, stream_output=True, task_status_handler=id, env=os.environ, cwd=os.getcwd())

print("ended with", anyio.run(run).returncode)
"""


@dataclass
class Warm:
    """A warm server on a copy of the sources, which a test may change."""

    folder: Path
    process: "subprocess.Popen[bytes]" = field(init=False)

    def __post_init__(self) -> None:
        for package in ("stockml", "tasks", "flows", "deployments"):
            shutil.copytree(PROJECT / package, self.folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        self.process = self._started("-m", "deployments.servers.warm_server", str(self.address))

    @property
    def address(self) -> Path:
        return self.folder / "warm"

    def run(self, **environ: str) -> "subprocess.Popen[bytes]":
        return self._started("-c", WORKER, **{ADDRESS: str(self.address), **environ})

    def forks(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def _started(self, *arguments: str, **environ: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, *arguments]
        whole = os.environ | {"PYTHONPATH": str(self.folder), "STOCKML_HOME": str(self.folder / "home")} | environ
        return subprocess.Popen(command, cwd=self.folder, env=whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def serves(self) -> None:
        """Wait until it listens."""
        until(lambda: self.address.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()[0]


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    found = Warm(tmp_path_factory.mktemp("warm"))
    found.serves()
    yield found
    found.process.kill()
    assert found.process.communicate()[0] == b"", "its log has no warnings"


@pytest.fixture
def api() -> Iterator[socket.socket]:
    """An API that a run connects to, and that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_S)
        yield listening


def url_of(api: socket.socket) -> str:
    return f"http://127.0.0.1:{api.getsockname()[1]}/api"


def said_and_ended(run: "subprocess.Popen[bytes]", words: bytes, code: int) -> bool:
    """Whether the run's output has these words and its worker was told that it ended with this code."""
    said, _ = run.communicate(timeout=PATIENCE_S)
    return words in said and said.endswith(b"ended with %d\n" % code)


@contextmanager
def asking(
    warm: Warm, api: socket.socket, address: str | None = None
) -> "Iterator[tuple[subprocess.Popen[bytes], socket.socket]]":
    """A run, and its process's connection to the API, which closes when the process ends."""
    other = {ADDRESS: address} if address else {}
    run = warm.run(PREFECT_API_URL=url_of(api), PREFECT__FLOW_RUN_ID=str(uuid4()), **other)
    with run, api.accept()[0] as connection:
        connection.settimeout(PATIENCE_S)
        try:
            assert connection.recv(65_536).startswith(b"GET /api/")
            yield run, connection
        finally:
            run.kill()


def fork_of(warm: Warm) -> psutil.Process:
    """The run's fork, once those of earlier runs are gone."""
    [fork] = until(lambda: found if len(found := warm.forks()) == 1 else [])
    return fork


def test_a_run_has_its_own_output_and_exit_code(warm: Warm) -> None:
    run = warm.run(PREFECT__FLOW_RUN_ID="none")
    said, _ = run.communicate(timeout=PATIENCE_S)
    assert b"Invalid flow run id" in said
    assert b"Warning" not in said
    assert said.endswith(b"ended with 1\n")


def test_a_worker_that_is_killed_leaves_no_run_behind(warm: Warm, api: socket.socket) -> None:
    with asking(warm, api) as (run, connection):
        run.kill()
        run.wait(PATIENCE_S)
        assert connection.recv(1) == b"", "its fork has ended"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_ends_as_its_fork_does(warm: Warm, api: socket.socket, number: int) -> None:
    with asking(warm, api) as (run, connection):
        fork_of(warm).send_signal(number)
        assert said_and_ended(run, b"", -number)
        assert connection.recv(1) == b""


def test_a_run_that_nobody_waits_for_any_more_is_ended(
    warm: Warm, api: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADDRESS, str(warm.address))
    environ = os.environ | {"PREFECT_API_URL": url_of(api), "PREFECT__FLOW_RUN_ID": str(uuid4())}

    def itself(fork: Fork) -> Fork:
        return fork

    async def run(*, task_status: TaskStatus[Fork]) -> None:
        await run_process(COMMAND, task_status=task_status, task_status_handler=itself, env=environ, cwd=warm.folder)

    async def left() -> tuple[Fork, socket.socket]:
        async with anyio.create_task_group() as group:
            fork = await group.start(run)
            connection, _ = await anyio.to_thread.run_sync(api.accept)
            group.cancel_scope.cancel()
        return fork, connection

    fork, connection = anyio.run(left)
    with connection:
        connection.settimeout(PATIENCE_S)
        while connection.recv(65_536):  # what it has sent
            pass
    assert fork.returncode is None


@retry(retry=retry_if_exception_type(OSError), wait=wait_fixed(0.1), stop=stop_after_delay(PATIENCE_S))
def kept_server(address: str) -> psutil.Process:
    """The warm server of this process's keeper, once it listens."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
    [server] = (child for child in psutil.Process().children() if address in child.cmdline())
    return server


def test_a_killed_warm_server_ends_its_runs_and_is_replaced(
    warm: Warm, api: socket.socket, home: HomePaths, tmp_path: Path
) -> None:
    address = str(tmp_path / "warm")
    with warm_server(tmp_path / "warm"):
        first = kept_server(address)
        with asking(warm, api, address) as (run, connection):
            first.kill()
            assert said_and_ended(run, b"", -signal.SIGKILL)
            assert connection.recv(1) == b""
        second = kept_server(address)
        assert second.pid != first.pid
        with asking(warm, api, address) as (run, connection):
            assert len(second.children()) == 1
            run.kill()
            run.wait(PATIENCE_S)
            assert connection.recv(1) == b""
    assert not second.is_running()


def test_without_a_warm_server_a_run_uses_its_own_process(warm: Warm) -> None:
    run = warm.run(**{ADDRESS: str(warm.folder / "absent"), "PREFECT__FLOW_RUN_ID": "none"})
    assert said_and_ended(run, b"Invalid flow run id", 1)


def test_after_the_sources_change_runs_use_the_new_ones_and_the_server_ends_with_its_last(
    warm: Warm, api: socket.socket
) -> None:
    with asking(warm, api) as (before, connection):
        (warm.folder / "stockml" / "clock.py").touch()
        run = warm.run(PREFECT__FLOW_RUN_ID="none")
        assert said_and_ended(run, b"Invalid flow run id", 1)
        assert warm.process.poll() is None, "a run is still at work"
        before.kill()
        before.wait(PATIENCE_S)
        assert connection.recv(1) == b""
    warm.process.communicate(timeout=PATIENCE_S)
    assert warm.process.returncode == 0
