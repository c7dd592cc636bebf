"""One run of the worker: in a child of `warm_server` where there is one, in this process otherwise.

It stands for the run towards the worker: it ends as its child does, and hands on the signals that end a run. It is
started by its path, without what is installed: a third of an interpreter's start.
"""

import contextlib
import json
import os
import signal
import socket
import sys
from types import FrameType

ADDRESS = "STOCKML_WARM_SERVER"  # set by `worker_program` for its runs
ENGINE = "prefect.engine"
ALONE = b"alone"  # the server's answer where it makes no fork


def main() -> int:
    code = _warm(os.environ[ADDRESS]) if ADDRESS in os.environ else None
    if code is None:
        os.execv(sys.executable, [sys.executable, "-m", ENGINE])
    if code < 0:  # ended by a signal: so does this process
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _warm(address: str) -> int | None:
    """The child's exit code, a signal's number negative; None where no server takes the run."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address)
        with open(os.memfd_create("request"), "w+b") as request:
            request.write(json.dumps({"environ": dict(os.environ), "folder": os.getcwd()}).encode())
            request.seek(0)
            socket.send_fds(connection, [b"\n"], [0, 1, 2, request.fileno()])
    except OSError:
        return None

    def hand_on(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(bytes([number]))

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, hand_on)
    with connection.makefile("rb") as answers:
        answer = answers.readline().strip()
    if answer == ALONE:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        return None
    return int(answer) if answer else 1


if __name__ == "__main__":
    sys.exit(main())
