"""Which process works on a thing, as `host:pid` beside it: once that is gone, what it left is known to be dead."""

import os
import socket

import psutil


def mark() -> str:
    """This process's own mark."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_of_this_host(marked: str | None) -> bool:
    """Whether this machine can know what became of the process."""
    host, _, pid = (marked or "").rpartition(":")
    return host == socket.gethostname() and pid.isdigit()


def is_gone(marked: str | None) -> bool:
    """Whether the process was of this host and is there no more; False where this host cannot know."""
    return is_of_this_host(marked) and not psutil.pid_exists(int((marked or "").rpartition(":")[2]))
