"""A night's progress on standard error: one line a step, and the epochs as they pass; a live line on a terminal.

Libraries that write to standard error on their own (TensorFlow's C++ side, progress bars of MLflow) are sent to a file
meanwhile, whole, so that what a person reads is the night and nothing else.
"""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
_FINISHED = re.compile(r"Finished in state (\w+)")
_NOISE = re.compile(
    r"Beginning |Created |View at|Executing|Finished in state|Starting temporary|Task run failed|Enc|Running hook|Hook "
)


@contextmanager
def progress(noise: Path, *, quiet: bool = False) -> Iterator[None]:
    """Show what the runs of this process log. To be entered after Prefect was imported; `quiet` shows nothing.

    `noise` is the file for whatever else is written to standard error.
    """
    with quiet_libraries(noise) as terminal:
        if quiet:
            yield
        elif terminal.isatty():
            with _live(terminal) as (step, news), _following(step, news):
                yield
        else:
            plain = _plain(terminal)
            with _following(plain, plain):
                yield


@contextmanager
def quiet_libraries(file: Path) -> Iterator[TextIO]:
    """Send this process's standard error to `file`; yield what it was before."""
    file.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    with os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace") as terminal, file.open("wb") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield terminal
        finally:
            sys.stderr.flush()
            os.dup2(terminal.fileno(), 2)


@contextmanager
def _following(step: Callable[[str], None], news: Callable[[str], None]) -> Iterator[None]:
    handler = _Steps(step, news)
    loggers = [logging.getLogger(name) for name in _RUN_LOGGERS]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)


def _plain(terminal: TextIO) -> Callable[[str], None]:
    return lambda line: print(line, file=terminal, flush=True)


@contextmanager
def _live(terminal: TextIO) -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    from rich.console import Console

    console = Console(file=terminal, highlight=False)
    with console.status("starting") as status:
        yield (
            lambda line: console.print(line, markup=False),
            lambda line: status.update(line.strip().replace("[", r"\[")),
        )


class _Steps(logging.Handler):
    """Turn the runs' log records into steps that are done and news of the one that is at work."""

    def __init__(self, step: Callable[[str], None], news: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._step, self._news = step, news

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        task = getattr(record, "task_run_name", None)
        if (finished := _FINISHED.match(message)) and task:
            word = {"Completed": "done", "Cached": "as before"}.get(finished[1], finished[1].lower())
            self._step(f"  {task:<40} {word}")
        elif not _NOISE.match(message):
            self._news(f"    {message.splitlines()[0]}")
