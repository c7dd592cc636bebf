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
    if not is_of_this_host(marked):
        return False
    try:
        process = psutil.Process(int((marked or "").rpartition(":")[2]))
        return bool(process.create_time() <= since.timestamp() + INEXACT_S)
    except psutil.NoSuchProcess:
        return False


def is_gone(marked: str | None) -> bool:
    """Whether the process was of this host and is there no more; False where this host cannot know."""
    return is_of_this_host(marked) and not psutil.pid_exists(int((marked or "").rpartition(":")[2]))
