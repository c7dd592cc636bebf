"""Prefect tasks that each run in a process of their own, of this machine or of a Dask scheduler."""

import gc
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

from prefect import Task
from prefect.futures import PrefectFuture, as_completed
from prefect.states import State
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner
from prefect.transactions import CommitMode, transaction

from stockml.errors import InvalidSetting
from stockml.home import current_home
from tasks.process_pool import lifeline

Start = Callable[[], AbstractContextManager[TaskRunner[Any]]]


def ends_of(
    task: Task[..., Any],
    parameters: Mapping[str, dict[str, Any]],
    workers: AbstractContextManager[Start],
    at_a_time: int,
) -> Generator[tuple[str, State | None]]:
    """Run the task with each of the parameters; yields their names with the end states, as they
    end.

    None for one whose process died: each has a runner to itself, so that no other ends with it.
    Raises InvalidSetting, StoreError.
    """
    waiting = iter(parameters.items())
    running: dict[PrefectFuture[Any], tuple[str, TaskRunner[Any]]] = {}
    with ExitStack() as opened, workers as start:
        free = [opened.enter_context(start()) for _ in range(at_a_time)]
        while True:
            while free and (job := next(waiting, None)):
                runner = free.pop()
                running[runner.submit(task, job[1])] = job[0], runner
            if not running:
                return
            ended = next(as_completed([*running]))
            name, runner = running.pop(ended)
            state = end_of(ended)
            free.append(runner if state else opened.enter_context(start()))
            yield name, state


def end_of(ended: PrefectFuture[Any]) -> State | None:
    """The end state that the worker sent; None if it died first."""
    try:
        ended.wait()
    except Exception:  # noqa: BLE001 - BrokenProcessPool or Dask's KilledWorker: no end was sent
        return None
    return ended.state if ended.state.is_final() else None


@contextmanager
def in_processes() -> Iterator[Start]:
    """Starts processes of this machine, which end with this one, and at once if the block
    raises."""
    with lifeline() as tied:
        yield lambda: ProcessPoolTaskRunner(1, **tied)


@contextmanager
def at_dask(address: str) -> Iterator[Start]:
    """The workers of a scheduler, which itself chooses one for each task and replaces the dead.
    Raises InvalidSetting if Dask is not installed, or no scheduler answers."""
    try:
        from distributed import Client
        from prefect_dask import DaskTaskRunner
    except ImportError as missing:
        advice = "used where Dask is installed: pip install 'stockml[dask]'"
        raise InvalidSetting("the Dask scheduler", "no Dask", advice) from missing
    try:
        Client(address, set_as_default=False).close()
    except Exception as error:  # an address that Dask misreads, or what is no scheduler's answer
        shown = address.rpartition("@")[2]  # without a login, which Dask has no use for
        bound = "the tcp://host:port of one that is up"
        raise InvalidSetting("the Dask scheduler", shown, bound) from error
    with DaskTaskRunner(address=address) as runner:
        yield lambda: nullcontext(runner)


@contextmanager
def one_of_many(home: str) -> Iterator[None]:
    """For one of the flows that a worker process runs one after the other, each within a task.

    Raises InvalidSetting if the worker was started with a home that is not the caller's, as one of
    Dask may have been.
    """
    if str(current_home().root) != home:
        raise InvalidSetting(
            "a Dask worker's STOCKML_HOME", str(current_home().root), f"the run's, {home}"
        )
    try:
        # else, within the task, a step's result would be kept only with the whole flow
        with transaction(commit_mode=CommitMode.EAGER):
            yield
    finally:
        # a night leaves reference cycles: without this, a worker grows from night to night
        gc.collect()
        if not gc.get_freeze_count():  # collections after later nights skip what the first imported
            gc.freeze()
