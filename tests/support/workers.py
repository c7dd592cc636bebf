"""The stock worker on the test's Prefect server, deployments for it, and waiting for the state of a
run."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import PREFECT_API_URL

from deployments.registration import POOL
from deployments.servers import processes, stack
from deployments.servers.processes import Child
from tests.support import patience


@contextmanager
def worker(folder: Path, **more: str) -> Iterator[Child]:
    """Run the worker as `stockml up` does, in `folder`; it looks for runs every second. more:
    environment variables."""
    server = {
        "PREFECT_API_URL": PREFECT_API_URL.value(),
        "PYTHONPATH": ":".join(filter(None, sys.path)),
    }
    own = {"PREFECT_WORKER_QUERY_SECONDS": "1", "STOCKML_HOME": str(folder / "home"), **more}
    child = processes.start(
        stack.worker({**os.environ, **server, **own}), folder / "logs" / "worker.log"
    )
    try:
        yield child
    finally:
        processes.stop([child])


def deployed(
    client: SyncPrefectClient, folder: Path, source: str, name: str, called: str = "", **more: Any
) -> UUID:
    """Deploy the flow of this name in `source`. called: the deployment's name, if it is not the
    flow's."""
    (folder / f"{name}.py").write_text(source)
    place = {"work_pool_name": POOL, "path": str(folder), "entrypoint": f"{name}.py:{name}"}
    return client.create_deployment(
        client.create_flow_from_name(name), called or name, **place, **more
    )


def until(client: SyncPrefectClient, run: UUID, name: str) -> None:
    """Wait until the run's state has this name; the state must last, as asking twenty times a
    second costs a core."""
    patience.until(lambda: client.read_flow_run(run).state_name == name, every_s=0.3)


def message(client: SyncPrefectClient, run: UUID, words: str) -> str:
    """Wait until a state of the run has a message with these words, and return it; the run may have
    gone on since."""

    def found() -> str:
        told = (str(state.message) for state in client.read_flow_run_states(run))
        return next((each for each in told if words in each), "")

    return patience.until(found, every_s=0.3)
