"""Processes that end with their parent: those of `concurrent.futures` first finish all their work.

Joblib's pool ends its own when it is interrupted, but not when its process is killed.
"""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread

from stockml.errors import StoreError


@contextmanager
def process_pool(processes: int) -> Iterator[Executor]:
    """A pool for the block; if it raises, or this process is interrupted or killed, its processes
    end at once.

    The work's functions must be importable. Its results raise BrokenProcessPool if a process is
    killed. Raises StoreError as `check_shared_memory` does.
    """
    check_shared_memory()
    context = get_context("spawn")
    silence, here = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(processes, context, initializer=end_with, initargs=(silence,))
    with pool, closed_if_raised(here):
        yield pool


@contextmanager
def closed_if_raised(here: Connection) -> Iterator[None]:
    """Close this end of a pipe if the block raises: processes with `end_with` on the other end at
    once."""
    try:
        yield
    except BaseException:
        here.close()
        raise


def check_shared_memory() -> None:
    """Raise StoreError where processes can share no lock, as in a container whose /dev/shm is
    missing or read-only."""
    try:
        get_context("spawn").Lock()
    except OSError as refused:
        found = f"expected memory that several processes can share, found {refused.strerror}"
        way_on = "mount a tmpfs there that can be written, or run one ticker at a time"
        raise StoreError("/dev/shm", f"{found}; {way_on}") from refused


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
