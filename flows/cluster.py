"""The Dask workers that a universe runs on: local processes by default, or those of the scheduler at an address.

Each is checked against the run's home, addresses and code before it gets nights; workers import this module for it.
Whoever can connect to a scheduler runs code as its owner: the local one speaks TLS, to holders of this run's
certificate. So does whoever can write to Dask's folder, from which its processes import first: usually in /tmp.
"""

import gc
import logging
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryDirectory
from typing import Any

import dask
from distributed import Client, Worker, WorkerPlugin
from distributed.core import Status
from prefect.context import SettingsContext, get_settings_context
from prefect.logging import get_run_logger
from prefect_dask import DaskTaskRunner

from stockml.errors import InvalidSetting, WorkerMismatch
from stockml.home import current_home
from tasks.process_pool import check_shared_memory
from tasks.workplace import WorkerEnvironment, check, identified_worker

# A worker never pauses or spills (what it holds is its process, not data): at its limit it is replaced, and the next
# one does its night again. Dask's own intervals, fifty ticks a second, would take a tenth of a core.
CONFIG = {
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.memory.monitor-interval": "1s",
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.scheduler.allowed-failures": 1,
    "distributed.scheduler.http.routes": [],  # Dask cannot turn its pages off: they show nothing
    "distributed.worker.http.routes": [],
    "distributed.dashboard.link": "",
    "distributed.logging": {"distributed": "error", "tornado": "critical"},
}
FILES, FILES_OF_A_WORKER = 64, 12  # that a universe has open at once, sockets included; measured: 47 and 10
IMPORT_ERRORS = ("ModuleNotFoundError", "ImportError", "AttributeError")


@contextmanager
def workers(address: str | None, processes: int, memory_gb: float) -> Iterator[DaskTaskRunner]:
    """A started task runner whose workers have this process's home, addresses and code.

    `address`: of a Dask scheduler, such as tcp://10.0.0.5:8786, whose workers can import this project. Without one,
    `processes` local processes of one thread and at most `memory_gb` GiB each are started, and stopped again.
    Raises WorkerMismatch, and InvalidSetting if no scheduler is at the address, or local ones lack room for files;
    StoreError if they lack shared memory.
    """
    if not address:
        check_room(processes)
    local: dict[str, Any] = {
        "n_workers": processes,
        "threads_per_worker": 1,
        "processes": True,
        "memory_limit": f"{memory_gb} GiB",
        "security": True,  # a certificate of its own
        "dashboard_address": "127.0.0.1:0",  # None would take, or complain of, port 8787
        "scheduler_kwargs": {"dashboard": False},
        "worker_dashboard_address": None,
        "host": "127.0.0.1",
    }
    logging.getLogger("distributed").setLevel(logging.ERROR)  # a worker that is stopped is no news
    prefect_settings = get_settings_context()
    with (
        TemporaryDirectory(prefix="stockml-", ignore_cleanup_errors=True) as folder,
        dask.config.set({**CONFIG, "temporary-directory": folder}),
        identified_worker(current_home()) as here,
        SentSettings(profile=prefect_settings.profile, settings=prefect_settings.settings),
    ):
        if address:
            check_scheduler(address)
        runner = DaskTaskRunner(address=address) if address else DaskTaskRunner(cluster_kwargs=local)
        with runner as running, checking_workers(running.client, here):
            yield runner


def check_room(processes: int) -> None:
    """Raise InvalidSetting or StoreError where local workers cannot start: Dask would try for ever, or for minutes."""
    check_shared_memory()
    needed, found = FILES + processes * FILES_OF_A_WORKER, resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if found != resource.RLIM_INFINITY and found < needed:
        bound = f"at least {needed} for {processes} processes (`ulimit -n {max(needed, 1024)}`)"
        raise InvalidSetting("the limit of open files", found, bound)


def check_scheduler(address: str, timeout_s: float = 30.0) -> None:
    """Raise InvalidSetting if no scheduler answers at the address within that time."""
    try:
        Client(address, timeout=timeout_s, set_as_default=False).close()
    except Exception as error:  # an address that Dask misreads, or what is no scheduler's answer, gives any type
        shown = address.rpartition("@")[2]  # without a login, which Dask has no use for
        raise InvalidSetting("the Dask scheduler", shown, "the tcp://host:port of one that is up") from error


class SentSettings(SettingsContext):
    """Settings sent to a worker unchanged; Prefect takes 0.1 s per night to serialise and validate its own."""

    def serialize(self, include_secrets: bool = True) -> dict[str, Any]:
        return {"profile": self.profile, "settings": self.settings}


@contextmanager
def checking_workers(client: Client, expected: WorkerEnvironment) -> Iterator[None]:
    """Check all present workers, and within the block each one that joins. Raises WorkerMismatch.

    One that joins and differs from this process is refused, and the run's log says why.
    """
    log, name = get_run_logger(), f"stockml {expected.mark}"
    scheduler = client.scheduler_info(n_workers=1)
    if not scheduler["workers"]:
        log.warning("no worker at %s yet; waiting for one", scheduler["address"])
        client.wait_for_workers(1)
    try:
        try:
            client.register_plugin(SameWorkplace(expected, name), name=name)
        except Exception as error:  # a worker whose code lacks the check cannot even read it: Dask reports text
            if not str(error).startswith(IMPORT_ERRORS):
                raise
            differences = (("the code", expected.code[:12], f"older code ({error})"),)
            raise WorkerMismatch(f"of the scheduler {scheduler['address']}", differences) from error
        marker = client.submit(str, key=name)  # the scheduler knows it for as long as this process is connected
        client.subscribe_topic(name, lambda event: log.warning("%s", event[1]))
        client.register_plugin(SameWorkplace(expected, name), name=name)  # for one that joined before the marker
        yield
        marker.release()
    finally:
        with suppress(OSError, ValueError, KeyError):  # a scheduler, or a worker, that is gone forgets it by itself
            client.unregister_worker_plugin(name)


class SameWorkplace(WorkerPlugin):
    """A plugin that refuses a worker unlike the run.

    `marker`: a key that the scheduler knows while nights run, and the topic of refusals. A worker that was there before
    stays, and the error ends the run. One that joins later gets no task before its setup ends: if refused, it leaves,
    and the run continues without it.
    """

    def __init__(self, expected: WorkerEnvironment, marker: str) -> None:
        self.expected, self.marker = expected, marker

    async def setup(self, worker: Worker) -> None:
        """Raise WorkerMismatch, or InvalidSetting if the worker's environment names no possible home."""
        gc.set_threshold(100_000, 20, 100)  # as in a command's process: what a worker's first night imports stays
        try:
            check(self.expected, current_home(), worker.address)
        except Exception as refused:
            # a killed run leaves its check with the scheduler, which no longer knows its marker
            if (await worker.scheduler.get_task_status(keys=[self.marker])).get(self.marker):
                worker.log_event(self.marker, str(refused))
                worker.status = Status.paused
                worker.loop.add_callback(worker.close_gracefully, restart=False, reason=str(refused))
            raise
