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

import pytest

from deployments.servers.warm_run import ADDRESS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks after imports: on Linux only"),
]
PROJECT = Path(__file__).parents[2]
PATIENCE_S = 60


@dataclass
class Warm:
    """A warm server on a copy of the sources, which a test may change."""

    folder: Path
    process: "subprocess.Popen[bytes]" = field(init=False)

    def __post_init__(self) -> None:
        for package in ("stockml", "tasks", "flows", "deployments"):
            shutil.copytree(PROJECT / package, self.folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        self.process = self._started("deployments.servers.warm_server", str(self.address))

    @property
    def address(self) -> Path:
        return self.folder / "warm"

    def run(self, **environ: str) -> "subprocess.Popen[bytes]":
        return self._started("deployments.servers.warm_run", **{ADDRESS: str(self.address), **environ})

    def _started(self, module: str, *arguments: str, **environ: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", module, *arguments]
        whole = os.environ | {"PYTHONPATH": str(self.folder), "STOCKML_HOME": str(self.folder / "home")} | environ
        return subprocess.Popen(command, cwd=self.folder, env=whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def serves(self) -> None:
        """Wait until it takes a run: one that names none ends in it."""
        while not self.address.exists():
            assert self.process.poll() is None, self.process.communicate()[0]
            os.sched_yield()


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
def asking(warm: Warm, api: socket.socket) -> "Iterator[tuple[subprocess.Popen[bytes], socket.socket]]":
    """A run, and the connection of its process, which closes when that ends."""
    url = f"http://127.0.0.1:{api.getsockname()[1]}/api"
    run = warm.run(PREFECT_API_URL=url, PREFECT__FLOW_RUN_ID=str(uuid4()))
    connection, _ = api.accept()
    with connection:
        connection.settimeout(PATIENCE_S)
        assert connection.recv(65_536).startswith(b"GET /api/")
        yield run, connection


def test_a_run_has_its_own_output_and_exit_code(warm: Warm) -> None:
    run = warm.run(PREFECT__FLOW_RUN_ID="none")
    said, _ = run.communicate(timeout=PATIENCE_S)
    assert (run.returncode, b"Invalid flow run id" in said) == (1, True)


def test_a_run_whose_process_was_killed_leaves_none_behind(warm: Warm, api: socket.socket) -> None:
    with asking(warm, api) as (run, connection):
        run.kill()
        run.communicate()
        assert connection.recv(1) == b"", "its fork has ended"


def test_a_signal_ends_the_fork_and_the_run_ends_by_it_too(warm: Warm, api: socket.socket) -> None:
    with asking(warm, api) as (run, connection):
        run.terminate()
        run.communicate(timeout=PATIENCE_S)
        assert (run.returncode, connection.recv(1)) == (-signal.SIGTERM, b"")


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
        before.communicate()
        assert connection.recv(1) == b""
    warm.process.communicate(timeout=PATIENCE_S)
    assert warm.process.returncode == 0
