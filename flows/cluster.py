"""The Dask workers that a universe runs on: local processes by default, or those of the scheduler at an address."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect_dask import DaskTaskRunner

# A worker never pauses or spills (what it holds is its process, not data): at its limit it is replaced, and the night
# under way is done again by the next one.
CONFIG = {
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.allowed-failures": 1,
    "distributed.logging": {"distributed": "error", "tornado": "critical"},
}


@contextmanager
def workers(address: str | None, processes: int, memory_gb: float) -> "Iterator[DaskTaskRunner]":
    """A started task runner.

    `address` is a Dask scheduler's, such as tcp://10.0.0.5:8786, whose workers can import this project; without one,
    `processes` local processes of one thread each are started, with at most `memory_gb` GiB each, and stopped again.
    """
    import dask
    from prefect_dask import DaskTaskRunner

    local: dict[str, Any] = {
        "n_workers": processes,
        "threads_per_worker": 1,
        "processes": True,
        "memory_limit": f"{memory_gb} GiB",
        "dashboard_address": "127.0.0.1:0",
        "worker_dashboard_address": "127.0.0.1:0",
        "host": "127.0.0.1",
    }
    logging.getLogger("distributed").setLevel(logging.ERROR)  # a worker that is stopped is no news
    with dask.config.set(CONFIG):
        runner = DaskTaskRunner(address=address) if address else DaskTaskRunner(cluster_kwargs=local)
        with runner:
            yield runner
