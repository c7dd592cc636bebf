"""Which process works on a thing, as `host:pid` beside it: once that is gone, what it left is known to be dead."""

import os
import socket
from datetime import datetime

import psutil

INEXACT_S = 2.0  # when a process began is told from when the machine did, in whole seconds


def mark() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def is_of_this_host(marked: str | None) -> bool:
    """Whether this machine can know what became of the process."""
    host, _, pid = (marked or "").rpartition(":")
    return host == socket.gethostname() and pid.isdigit()


def is_at_work(marked: str | None, since: datetime) -> bool:
    """Whether the process is of this host and there, and was there at `since`: a number goes to a new process again."""
    began = _began(marked)
    return began is not None and began <= since.timestamp() + INEXACT_S


def is_gone(marked: str | None) -> bool:
    """Whether the process was of this host and is there no more; False where this host cannot know."""
    return is_of_this_host(marked) and _began(marked) is None


def _began(marked: str | None) -> float | None:
    """When this host's process of that number began, in seconds since 1970; None where it has ended, a zombie too."""
    if not is_of_this_host(marked):
        return None
    try:
        process = psutil.Process(int((marked or "").rpartition(":")[2]))
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None
