"""A night's progress on standard error: one line a step, and the epochs as they pass; a live line on a terminal."""

import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
_FINISHED = re.compile(r"Finished in state (\w+)")
_NOISE = re.compile(r"Beginning flow run|Created task run|View at|Executing|Finished in state|Starting temporary")


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[None]:
    """Show what the runs of this process log. To be entered after Prefect was imported; `quiet` shows nothing."""
    if quiet:
        yield
    elif sys.stderr.isatty():
        with _live() as (step, now):
            yield from _following(step, now)
    else:
        yield from _following(_plain, _plain)


def _following(step: Callable[[str], None], now: Callable[[str], None]) -> Iterator[None]:
    handler = _Steps(step, now)
    loggers = [logging.getLogger(name) for name in _RUN_LOGGERS]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def _plain(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _live() -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    with console.status("starting") as status:
        yield (lambda line: console.print(line, markup=False)), (lambda line: status.update(line.strip()))


class _Steps(logging.Handler):
    """Turn the runs' log records into steps that are done and news of the one that is at work."""

    def __init__(self, step: Callable[[str], None], now: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._step, self._now = step, now

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        task = getattr(record, "task_run_name", None)
        if (finished := _FINISHED.match(message)) and task:
            word = {"Completed": "done", "Cached": "as before"}.get(finished[1], finished[1].lower())
            self._step(f"  {task:<40} {word}")
        elif not _NOISE.match(message):
            self._now(f"    {message.splitlines()[0]}")
