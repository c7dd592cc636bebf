"""Simulated machines: each has its own file system, host name and processes, and shares the loopback.

Each is forked from a process that has imported everything, into namespaces of its own.
"""

import ctypes
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from prefect.settings import PREFECT_API_URL

from tests.support.night_process import forked, reporting
from tests.support.small_disk import NEW_MOUNTS, PRIVATE, called

NEW_NAME, NEW_PROCESSES = 0x0400_0000, 0x2000_0000  # CLONE_NEWUTS, CLONE_NEWPID
DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


@dataclass(frozen=True)
class Machine:
    """A running machine: `night` starts a night there, `outcome` waits for its end."""

    process: ForkServerProcess
    line: Connection

    def night(self, **asked: Any) -> None:
        self.line.send(asked)

    def outcome(self) -> str:
        """`Completed`, or the name of another state and its message; "" once the machine is gone."""
        with suppress(EOFError):
            return str(self.line.recv())
        return ""

    def kill(self) -> None:
        """End the machine as a power failure would, with all its processes and its disk."""
        self.process.kill()
        self.process.join()


@contextmanager
def machine(name: str, disk: Path, environ: Mapping[str, str]) -> Iterator[Machine]:
    """Run a machine whose own disk is mounted at the folder `disk`; its nights get this environment."""
    disk.mkdir(parents=True, exist_ok=True)
    ours, theirs = Pipe()
    with ours, theirs:
        found = Machine(forked(_apart, name, str(disk), dict(environ), str(PREFECT_API_URL.value()), theirs), ours)
        theirs.close()  # otherwise the end of the machine would not end the line
        try:
            assert found.outcome() == "up"
            yield found
        finally:
            found.kill()


def _apart(name: str, disk: str, environ: Mapping[str, str], api: str, line: Connection) -> None:
    """The machine, as the first process of its namespace, which dies with the process that started it."""
    called("unshare", ctypes.c_int(NEW_MOUNTS | NEW_NAME | NEW_PROCESSES))
    if os.fork():
        line.close()
        os.wait()
        return
    called("prctl", DIES_WITH_PARENT, ctypes.c_ulong(signal.SIGKILL))
    called("mount", None, b"/", None, ctypes.c_ulong(PRIVATE), None)
    called("mount", b"proc", b"/proc", b"proc", ctypes.c_ulong(0), None)
    called("mount", b"tmpfs", os.fsencode(disk), b"tmpfs", ctypes.c_ulong(0), None)
    socket.sethostname(name)
    os.environ.update(environ)
    with reporting(api, quiet=False), suppress(EOFError):
        _nights(line)


def _nights(line: Connection) -> None:
    """Run the nights that the line asks for, one after the other, and say how each ended."""
    from flows.nightly import nightly

    line.send("up")
    while True:
        state: Any = nightly(**line.recv(), return_state=True)
        message = "" if state.is_completed() else f": {' '.join(str(state.message).split())}"
        line.send(f"{state.name}{message}")
