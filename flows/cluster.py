"""Worker processes for many nights: on this machine, or those of a Dask scheduler at an address."""

import gc
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Protocol, Self

from prefect import Task
from prefect.futures import PrefectFuture, as_completed
from prefect.states import State
from prefect.task_runners import ProcessPoolTaskRunner

from stockml.errors import InvalidSetting
from tasks.process_pool import check_shared_memory, closed_if_raised, end_with


class Worker(Protocol):
    """What runs one task at a time; `replace` after it has died."""

    def submit(self, task: Task[..., Any], parameters: dict[str, Any]) -> PrefectFuture[Any]: ...

    def replace(self) -> None: ...


class LocalWorker:
    """A process of this machine. A pool of one: if it dies, that is its own night's end and no other's."""

    def __init__(self, silence: Connection) -> None:
        self._silence, self._opened = silence, ExitStack()
        self.replace()

    def submit(self, task: Task[..., Any], parameters: dict[str, Any]) -> PrefectFuture[Any]:
        return self._runner.submit(task, parameters)

    def replace(self) -> None:
        self.close()
        runner = ProcessPoolTaskRunner(max_workers=1, initializer=begin, initargs=(self._silence,))
        self._runner = self._opened.enter_context(runner)

    def close(self) -> None:
        self._opened.close()


class DaskWorkers:
    """Those of a scheduler, which itself chooses the one for each task and replaces the dead."""

    def __init__(self, address: str) -> None:
        check_scheduler(address)
        from prefect_dask import DaskTaskRunner

        self._runner: Any = DaskTaskRunner(address=address)

    def __enter__(self) -> Self:
        self._runner.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._runner.__exit__(*raised)

    def submit(self, task: Task[..., Any], parameters: dict[str, Any]) -> PrefectFuture[Any]:
        future: PrefectFuture[Any] = self._runner.submit(task, parameters)
        return future

    def replace(self) -> None:
        """Nothing to do."""


def ends_of(
    task: Task[..., Any], parameters: Mapping[str, dict[str, Any]], address: str, at_a_time: int
) -> Generator[tuple[str, State | None]]:
    """Run the task with each of the parameters; yields their names with the end states, as they end.

    None for one whose process died, which stops no other.  address: of a Dask scheduler, such as tcp://10.0.0.5:8786;
    empty for `at_a_time` processes here.  Raises InvalidSetting, StoreError.
    """
    waiting = iter(parameters.items())
    running: dict[PrefectFuture[Any], tuple[str, Worker]] = {}
    with workers(address, at_a_time) as free:
        while True:
            while free and (job := next(waiting, None)):
                worker = free.pop()
                running[worker.submit(task, job[1])] = job[0], worker
            if not running:
                return
            ended = next(as_completed([*running]))
            name, worker = running.pop(ended)
            state = end_of(ended)
            if state is None:
                worker.replace()
            free.append(worker)
            yield name, state


def end_of(ended: PrefectFuture[Any]) -> State | None:
    """The end state that the worker sent; None if it died first."""
    try:
        ended.wait()
    except Exception:  # noqa: BLE001 - BrokenProcessPool or Dask's KilledWorker: no end was sent
        return None
    return ended.state if ended.state.is_final() else None


@contextmanager
def workers(address: str, count: int) -> Iterator[list[Worker]]:
    """So many workers; local ones end with this process, however it ends, and at once if the block raises."""
    if address:
        with DaskWorkers(address) as dask:
            yield [dask] * count
        return
    check_shared_memory()
    silence, here = get_context("spawn").Pipe(duplex=False)
    with ExitStack() as opened:
        found = [opened.enter_context(closing(LocalWorker(silence))) for _ in range(count)]
        opened.enter_context(closed_if_raised(here))
        yield [*found]


def begin(silence: Connection) -> None:
    """Ready a worker process: what its first night imports serves all of its nights."""
    end_with(silence)
    gc.set_threshold(100_000, 20, 100)  # as in a command's process: imports make garbage of nothing


def check_scheduler(address: str, timeout_s: float = 30.0) -> None:
    """Raise InvalidSetting if no scheduler answers at the address within that time, or Dask is not installed."""
    try:
        from distributed import Client
    except ImportError as missing:
        found, advice = "no Dask", "used where Dask is installed: pip install 'stockml[dask]'"
        raise InvalidSetting("the Dask scheduler", found, advice) from missing
    try:
        Client(address, timeout=timeout_s, set_as_default=False).close()
    except Exception as error:  # an address that Dask misreads, or what is no scheduler's answer, gives any type
        shown = address.rpartition("@")[2]  # without a login, which Dask has no use for
        raise InvalidSetting("the Dask scheduler", shown, "the tcp://host:port of one that is up") from error
