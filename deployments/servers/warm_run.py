"""Run a flow in a fork of `warm_server`, presented to Prefect's worker as a process that it started.

The worker requests the fork itself: an interpreter in between would cost a night 30 ms, to start and to wait.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus, UNIXSocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from prefect.utilities import processutils

ADDRESS = "STOCKML_WARM_SERVER"  # set by `worker_program` for its worker
ENGINE = "prefect.engine"
ALONE = b"alone"  # the server's answer if it makes no fork
COMMAND = [sys.executable, "-m", ENGINE]  # what a fork becomes
KILLED_WITH_SERVER = -signal.SIGKILL  # the exit code of a fork whose server is gone, and which died with it


@dataclass
class Fork:
    """The attributes of a process that Prefect reads. returncode: None while it runs; negative for a signal."""

    pid: int
    returncode: int | None = None


async def run_process(
    command: list[str], *, task_status: TaskStatus[Any] = anyio.TASK_STATUS_IGNORED, **options: Any
) -> Any:
    """Replace Prefect's function: fork for `COMMAND` if a warm server can; cancelling this call kills the fork."""
    if command == COMMAND and ADDRESS in os.environ and (connection := await _request_fork(**options)):
        async with connection:
            answers = BufferedByteReceiveStream(connection)
            if (answer := await _line(answers)) not in (b"", ALONE):
                fork = Fork(int(answer))
                task_status.started(options["task_status_handler"](fork))
                code = await _line(answers)
                fork.returncode = int(code) if code else KILLED_WITH_SERVER
                return fork
    return await processutils.run_process(command, task_status=task_status, **options)


async def _request_fork(
    env: Mapping[str, str], cwd: str | Path, stream_output: bool = False, **_: Any
) -> UNIXSocketStream | None:
    """Request a fork; return the connection on which the server answers, or None if there is no server.

    Sends the fork's standard input, output and error, and an in-memory file with its environment and folder as JSON.
    """
    with suppress(OSError), open(os.memfd_create("request"), "w+b") as request, open(os.devnull, "r+b") as nothing:
        request.write(json.dumps({"environ": {**env}, "folder": str(cwd)}).encode())
        request.seek(0)
        streams = [nothing.fileno(), *((1, 2) if stream_output else (nothing.fileno(),) * 2), request.fileno()]
        connection = await anyio.connect_unix(os.environ[ADDRESS])
        with suppress(anyio.BrokenResourceError):  # the server has gone, as reading the answer will show
            await connection.send_fds(b"\n", streams)
        return connection
    return None


async def _line(answers: BufferedByteReceiveStream) -> bytes:
    """Read the next line, without its newline; empty if the server has gone."""
    with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
        return await answers.receive_until(b"\n", max_bytes=100)
    return b""
