"""Processes that end with the one that needs them: `concurrent.futures` waits for all their work instead.

Joblib's pool can end its own when it is interrupted, but leaves them at work where its process is killed.
"""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread


@contextmanager
def process_pool(processes: int) -> Iterator[Executor]:
    """A pool for the block; if it raises, or this process is interrupted or killed, its processes end at once.

    The work's functions must be importable. Its results raise BrokenProcessPool if a process is killed.
    """
    context = get_context("spawn")
    silence, here = context.Pipe(duplex=False)  # ends when this process does, however that is
    with ProcessPoolExecutor(processes, context, initializer=_end_with, initargs=(silence,)) as pool:
        try:
            yield pool
        except BaseException:
            here.close()
            raise


def _end_with(silence: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the first process decides
    Thread(target=_exit_after, args=(silence,), daemon=True).start()


def _exit_after(silence: Connection) -> None:
    with suppress(EOFError, OSError):
        silence.recv_bytes()
    os._exit(1)
