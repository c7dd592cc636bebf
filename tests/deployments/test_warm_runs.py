"""A run of the worker is a fork of a process that has everything imported, and ends as one of its own would."""

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

import psutil
import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from deployments.servers.warm_run import ADDRESS
from deployments.servers.worker_program import Keeper
from stockml.home import Home
from tests.support.patience import PATIENCE_S

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks after imports: on Linux only"),
]
PROJECT = Path(__file__).parents[2]


class NotYet(Exception):
    """What is waited for has not happened."""


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
        program = ["-I", "-S", str(self.folder / "deployments/servers/warm_run.py")]
        return self._started(*program, **{ADDRESS: str(self.address), **environ})

    def forks(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def _started(self, *arguments: str, **environ: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, *arguments]
        whole = os.environ | {"PYTHONPATH": str(self.folder), "STOCKML_HOME": str(self.folder / "home")} | environ
        return subprocess.Popen(command, cwd=self.folder, env=whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    @retry(retry=retry_if_exception_type(NotYet), wait=wait_fixed(0.1), stop=stop_after_delay(PATIENCE_S))
    def serves(self) -> None:
        """Wait until it listens."""
        assert self.process.poll() is None, self.process.communicate()[0]
        if not self.address.exists():
            raise NotYet


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    found = Warm(tmp_path_factory.mktemp("warm"))
    found.serves()
    yield found
    found.process.kill()
    found.process.communicate()


@pytest.fixture
def api() -> Iterator[socket.socket]:
    """An API that a run connects to, and that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE_S)
        yield listening


@contextmanager
def asking(
    warm: Warm, api: socket.socket, address: str | None = None
) -> "Iterator[tuple[subprocess.Popen[bytes], socket.socket]]":
    """A run, and the connection of its process, which closes when that ends."""
    url = f"http://127.0.0.1:{api.getsockname()[1]}/api"
    run = warm.run(PREFECT_API_URL=url, PREFECT__FLOW_RUN_ID=str(uuid4()), **({ADDRESS: address} if address else {}))
    with run, api.accept()[0] as connection:
        connection.settimeout(PATIENCE_S)
        try:
            assert connection.recv(65_536).startswith(b"GET /api/")
            yield run, connection
        finally:
            run.kill()


@retry(retry=retry_if_exception_type(ValueError), wait=wait_fixed(0.1), stop=stop_after_delay(PATIENCE_S))
def fork_of(warm: Warm) -> psutil.Process:
    """The one of the run, once those of earlier runs are gone."""
    [fork] = warm.forks()
    return fork


def test_a_run_has_its_own_output_and_exit_code(warm: Warm) -> None:
    run = warm.run(PREFECT__FLOW_RUN_ID="none")
    said, _ = run.communicate(timeout=PATIENCE_S)
    assert (run.returncode, b"Invalid flow run id" in said) == (1, True)


def test_a_run_whose_process_was_killed_leaves_none_behind(warm: Warm, api: socket.socket) -> None:
    with asking(warm, api) as (run, connection):
        run.kill()
        run.wait(PATIENCE_S)
        assert connection.recv(1) == b"", "its fork has ended"


def test_a_signal_ends_the_fork_and_the_run_ends_by_it_too(warm: Warm, api: socket.socket) -> None:
    with asking(warm, api) as (run, connection):
        run.terminate()
        run.wait(PATIENCE_S)
        assert (run.returncode, connection.recv(1)) == (-signal.SIGTERM, b"")


def test_a_fork_that_is_killed_ends_its_run_in_the_same_way(warm: Warm, api: socket.socket) -> None:
    with asking(warm, api) as (run, connection):
        fork_of(warm).kill()
        run.wait(PATIENCE_S)
        assert (run.returncode, connection.recv(1)) == (-signal.SIGKILL, b"")


@retry(retry=retry_if_exception_type(OSError), wait=wait_fixed(0.1), stop=stop_after_delay(PATIENCE_S))
def kept_server(address: str) -> psutil.Process:
    """The warm server of this process's keeper, once it listens."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
    [server] = (child for child in psutil.Process().children() if address in child.cmdline())
    return server


def test_a_server_that_is_killed_takes_its_runs_along_and_another_is_started(
    warm: Warm, api: socket.socket, home: Home, tmp_path: Path
) -> None:
    address = str(tmp_path / "warm")
    keeper = Keeper(address)
    try:
        first = kept_server(address)
        with asking(warm, api, address) as (run, connection):
            first.kill()
            run.wait(PATIENCE_S)
            assert (run.returncode, connection.recv(1)) == (1, b"")
        second = kept_server(address)
        assert second.pid != first.pid
        with asking(warm, api, address) as (run, connection):
            assert len(second.children()) == 1
            run.kill()
            run.wait(PATIENCE_S)
            assert connection.recv(1) == b""
    finally:
        keeper.stop()
    assert not second.is_running()


def test_without_a_server_a_run_is_done_in_its_own_process(warm: Warm) -> None:
    run = warm.run(**{ADDRESS: str(warm.folder / "absent"), "PREFECT__FLOW_RUN_ID": "none"})
    said, _ = run.communicate(timeout=PATIENCE_S)
    assert (run.returncode, b"Invalid flow run id" in said) == (1, True)


def test_once_the_sources_are_others_runs_use_these_and_the_server_ends_with_its_last_run(
    warm: Warm, api: socket.socket
) -> None:
    with asking(warm, api) as (before, connection):
        (warm.folder / "stockml" / "clock.py").touch()
        run = warm.run(PREFECT__FLOW_RUN_ID="none")
        said, _ = run.communicate(timeout=PATIENCE_S)
        assert (run.returncode, b"Invalid flow run id" in said) == (1, True)
        assert warm.process.poll() is None, "a run is at work"
        before.kill()
        before.wait(PATIENCE_S)
        assert connection.recv(1) == b""
    warm.process.communicate(timeout=PATIENCE_S)
    assert warm.process.returncode == 0
