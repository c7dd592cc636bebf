"""A run in a fork of `warm_server`, which Prefect's worker takes for a process that it has started.

The worker asks for the fork itself: an interpreter between the two would take 30 ms a night, to start and to wait.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
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
ALONE = b"alone"  # the server's answer where it makes no fork
COMMAND = [sys.executable, "-m", ENGINE]  # what a fork becomes
NOBODY_SAYS = -signal.SIGKILL  # how a fork has ended whose server is gone: it dies with it


@dataclass
class Fork:
    """What Prefect asks of a process. returncode: None while it runs; a signal's number negative."""

    pid: int
    returncode: int | None = None


async def run_process(
    command: list[str],
    *,
    stream_output: bool = False,
    task_status: TaskStatus[Any] = anyio.TASK_STATUS_IGNORED,
    task_status_handler: Callable[[Any], Any],
    env: Mapping[str, str],
    cwd: str | Path,
    **others: Any,
) -> Any:
    """Prefect's own, with a fork for `COMMAND` where a warm server makes one; it is killed when this wait is."""
    if command == COMMAND and ADDRESS in os.environ and (connection := await _asked(env, cwd, stream_output)):
        async with connection:
            answers = BufferedByteReceiveStream(connection)
            if (answer := await _line(answers)) not in (b"", ALONE):
                fork = Fork(int(answer))
                task_status.started(task_status_handler(fork))
                code = await _line(answers)
                fork.returncode = int(code) if code else NOBODY_SAYS
                return fork
    return await processutils.run_process(
        command,
        stream_output=stream_output,
        task_status=task_status,
        task_status_handler=task_status_handler,
        env=env,
        cwd=cwd,
        **others,
    )


async def _asked(environ: Mapping[str, str], folder: str | Path, speaks: bool) -> UNIXSocketStream | None:
    """The connection on which the server answers; None where there is none.

    Sent are the fork's standard input, output and error, and a file in memory with its environment and folder as JSON.
    """
    with suppress(OSError), open(os.memfd_create("request"), "w+b") as request, open(os.devnull, "r+b") as nothing:
        request.write(json.dumps({"environ": {**environ}, "folder": str(folder)}).encode())
        request.seek(0)
        streams = [nothing.fileno(), *((1, 2) if speaks else (nothing.fileno(),) * 2), request.fileno()]
        connection = await anyio.connect_unix(os.environ[ADDRESS])
        with suppress(anyio.BrokenResourceError):  # the server has gone, as the answer will say
            await connection.send_fds(b"\n", streams)
        return connection
    return None


async def _line(answers: BufferedByteReceiveStream) -> bytes:
    """The next line without its end; empty where the server has gone."""
    with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
        return await answers.receive_until(b"\n", max_bytes=100)
    return b""
