"""Marks `host:pid` name the process that works on something: once it is gone, what it left is dead."""

import os
import socket
from datetime import datetime

import psutil

START_TOLERANCE_S = 2.0  # a process's start is derived from the machine's, which is known in whole seconds


def mark() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def is_of_this_host(marked: str | None) -> bool:
    """Whether the process is one of this host, which can then know whether it is alive."""
    host, _, pid = (marked or "").rpartition(":")
    return host == socket.gethostname() and pid.isdigit()


def is_at_work(marked: str | None, since: datetime) -> bool:
    """Whether the process is of this host, alive, and started by `since`: process ids are reused."""
    began = _start_time(marked)
    return began is not None and began <= since.timestamp() + START_TOLERANCE_S


def is_gone(marked: str | None) -> bool:
    """Whether the process was of this host and has ended; False if this host cannot know."""
    return is_of_this_host(marked) and _start_time(marked) is None


def _start_time(marked: str | None) -> float | None:
    """When the process began, in seconds since 1970; None if it is of another host, has ended, or is a zombie."""
    if not is_of_this_host(marked):
        return None
    try:
        process = psutil.Process(int((marked or "").rpartition(":")[2]))
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None
