"""This process: its environment, changed for a while, and how a command ends as a program."""

import atexit
import contextlib
import gc
import io
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import NoReturn


@contextlib.contextmanager
def restored(environ: MutableMapping[str, str], names: Iterable[str]) -> Iterator[None]:
    before = {name: environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            environ.pop(name, None)
            environ.update({} if value is None else {name: value})


@contextlib.contextmanager
def left_uncollected() -> Iterator[None]:
    """What is imported meanwhile is never looked through for garbage: it leaves little, and a server collects often.

    Afterwards less often than Python does by itself: every 700 objects cost the servers five percent of their time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        gc.enable()


def as_program(command: Callable[[], int]) -> NoReturn:
    """End with the command's exit code. What it makes is for its owner only: 0700 and 0600."""
    _settle_streams()
    os.umask(0o077)
    gc.set_threshold(100_000, 20, 100)  # imports make many objects and leave little to collect: a second of a night
    leave(command())


def _settle_streams() -> None:
    """Lead a standard stream that was closed (`>&-`) nowhere: else the first file that is opened takes its place."""
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(spare, True)
    os.close(spare)
    sys.stdin, sys.stdout = sys.stdin or os.fdopen(0), sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no dash shows another sign instead


def leave(code: int) -> NoReturn:
    """Exit with `code`. Taking an interpreter apart that holds Prefect, pandas and MLflow costs a second of CPU."""
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined] # waits for threads, as an exit does: what is queued is sent
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
