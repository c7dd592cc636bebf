"""A worker on the test's Prefect server, deployments for it, and waiting for the state of a run."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL

from tests.support import patience
from tests.support.patience import PATIENCE_S

WORKER = ("-m", "deployments.servers.worker_program")


@contextmanager
def one_slot(
    folder: Path, pool: str, every_s: int = 3600, program: Sequence[str] = WORKER
) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a worker with one slot that polls every `every_s` and after each run; started as by `&` in a script."""
    arguments = ("--pool", pool, "--type", "process")
    command = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, *program, *arguments]
    settings = {"PREFECT_WORKER_QUERY_SECONDS": str(every_s), "STOCKML_HOME": str(folder / "home")}
    server = {"PREFECT_API_URL": PREFECT_API_URL.value(), "PYTHONPATH": ":".join(sys.path)}
    worker = subprocess.Popen([*command, "--limit", "1"], cwd=folder, env={**os.environ, **server, **settings})
    try:
        yield worker
    finally:
        worker.terminate()
        worker.wait(PATIENCE_S)


def deployed(
    client: SyncPrefectClient, folder: Path, source: str, name: str, pool: str, called: str = "", **more: Any
) -> UUID:
    """Deploy the flow of this name in `source`. called: the deployment's name, if it is not the flow's."""
    (folder / f"{name}.py").write_text(source)
    place = {"work_pool_name": pool, "path": str(folder), "entrypoint": f"{name}.py:{name}"}
    return client.create_deployment(client.create_flow_from_name(name), called or name, **place, **more)


def until(client: SyncPrefectClient, run: UUID, name: str) -> None:
    """Wait until the run's state has this name; the state must last, as asking twenty times a second costs a core."""
    patience.until(lambda: client.read_flow_run(run).state_name == name, every_s=0.3)


def message(client: SyncPrefectClient, run: UUID, words: str) -> str:
    """Wait until a state of the run has a message with these words, and return it; the run may have gone on since."""

    def found() -> str:
        told = (str(state.message) for state in client.read_flow_run_states(run))
        return next((each for each in told if words in each), "")

    return patience.until(found, every_s=0.3)
