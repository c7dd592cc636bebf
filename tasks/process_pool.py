"""Processes that end with their parent: those of `concurrent.futures` first finish all their work.

Joblib's pool ends its own when it is interrupted, but not when its process is killed.
"""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from stockml.errors import StoreError


@contextmanager
def process_pool(processes: int) -> Iterator[Executor]:
    """A pool for the block; if it raises, or this process is interrupted or killed, its processes
    end at once.

    The work's functions must be importable. Its results raise BrokenProcessPool if a process is
    killed. Raises StoreError as `lifeline` does.
    """
    with ExitStack() as opened, lifeline() as tied:
        yield opened.enter_context(ProcessPoolExecutor(processes, get_context("spawn"), **tied))


@contextmanager
def lifeline() -> Iterator[dict[str, Any]]:
    """An initializer and its arguments for processes that end at once if this one ends or the block
    raises.

    Raises StoreError where processes can share no lock, as in a container whose /dev/shm is missing
    or read-only.
    """
    context = get_context("spawn")
    try:
        context.Lock()
    except OSError as refused:
        found = f"expected memory that several processes can share, found {refused.strerror}"
        way_on = "mount a tmpfs there that can be written, or run one ticker at a time"
        raise StoreError("/dev/shm", f"{found}; {way_on}") from refused
    silence, here = context.Pipe(duplex=False)
    try:
        yield {"initializer": end_with, "initargs": (silence,)}
    except BaseException:
        here.close()
        raise


def end_with(silence: Connection) -> None:
    """In a process of a pool: end it when the other end of this pipe closes, as it does with its
    process."""
    # a terminal sends it to all; the first process decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_exit_after, args=(silence,), daemon=True).start()


def _exit_after(silence: Connection) -> None:
    with suppress(EOFError, OSError):
        silence.recv_bytes()
    os.kill(os.getpid(), signal.SIGKILL)
