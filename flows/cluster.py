"""Worker processes for many nights: on this machine, or those of a Dask scheduler at an address."""

import gc
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from prefect import Task
from prefect.futures import PrefectFuture, as_completed
from prefect.states import State
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

from stockml.errors import InvalidSetting
from tasks.process_pool import check_shared_memory, closed_if_raised, end_with

Start = Callable[[], AbstractContextManager[TaskRunner[Any]]]


class Worker:
    """Runs one task at a time. A process that dies is the end of its own task and of no other."""

    def __init__(self, start: Start) -> None:
        self._start, self._opened = start, ExitStack()
        self.begin()

    def begin(self) -> None:
        """Start, or start again."""
        self.close()
        self.runner = self._opened.enter_context(self._start())

    def close(self) -> None:
        self._opened.close()


def ends_of(
    task: Task[..., Any], parameters: Mapping[str, dict[str, Any]], address: str, at_a_time: int
) -> Generator[tuple[str, State | None]]:
    """Run the task with each of the parameters; yields their names with the end states, as they
    end.

    None for one whose process died.  address: of a Dask scheduler, such as tcp://10.0.0.5:8786;
    empty for `at_a_time` processes here.  Raises InvalidSetting, StoreError.
    """
    waiting = iter(parameters.items())
    running: dict[PrefectFuture[Any], tuple[str, Worker]] = {}
    with ExitStack() as opened:
        start, lifeline = opened.enter_context(dask(address) if address else processes())
        free = [opened.enter_context(closing(Worker(start))) for _ in range(at_a_time)]
        opened.enter_context(lifeline)
        while True:
            while free and (job := next(waiting, None)):
                worker = free.pop()
                running[worker.runner.submit(task, job[1])] = job[0], worker
            if not running:
                return
            ended = next(as_completed([*running]))
            name, worker = running.pop(ended)
            if (state := end_of(ended)) is None:
                worker.begin()
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
def processes() -> Iterator[tuple[Start, AbstractContextManager[None]]]:
    """Starts processes of this machine, which end with this one, and if the second's block
    raises."""
    check_shared_memory()
    silence, here = get_context("spawn").Pipe(duplex=False)
    start = partial(ProcessPoolTaskRunner, 1, initializer=begin, initargs=(silence,))
    yield start, closed_if_raised(here)


def begin(silence: Connection) -> None:
    """Ready a worker process: what its first night imports serves all of its nights."""
    end_with(silence)
    gc.set_threshold(100_000, 20, 100)  # as in a command's process: imports make little garbage


@contextmanager
def dask(address: str) -> Iterator[tuple[Start, AbstractContextManager[None]]]:
    """Those of a scheduler, which itself chooses one for each task and replaces the dead."""
    check_scheduler(address)
    from prefect_dask import DaskTaskRunner

    with DaskTaskRunner(address=address) as runner:
        yield (lambda: nullcontext(runner)), nullcontext()


def check_scheduler(address: str, timeout_s: float = 30.0) -> None:
    """Raise InvalidSetting if Dask is not installed, or no scheduler answers at the address."""
    try:
        from distributed import Client
    except ImportError as missing:
        advice = "used where Dask is installed: pip install 'stockml[dask]'"
        raise InvalidSetting("the Dask scheduler", "no Dask", advice) from missing
    try:
        Client(address, timeout=timeout_s, set_as_default=False).close()
    except Exception as error:  # an address that Dask misreads, or what is no scheduler's answer
        shown = address.rpartition("@")[2]  # without a login, which Dask has no use for
        bound = "the tcp://host:port of one that is up"
        raise InvalidSetting("the Dask scheduler", shown, bound) from error
