"""A run in a fork of `warm_server`, which Prefect's worker takes for a process that it has started.

The worker asks for the fork itself: an interpreter between the two would take 30 ms a night, to start and to wait.
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus
from prefect.utilities import processutils

ADDRESS = "STOCKML_WARM_SERVER"  # set by `worker_program` for its worker
ENGINE = "prefect.engine"
ALONE = b"alone"  # the server's answer where it makes no fork
COMMAND = [sys.executable, "-m", ENGINE]  # what a fork becomes
ANSWERS_WITHIN_S = 5.0
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
    if command == COMMAND and ADDRESS in os.environ and (connection := _asked(env, cwd, stream_output)):
        with connection:
            if (answer := await _line(connection)) not in (b"", ALONE):
                fork = Fork(int(answer))
                task_status.started(task_status_handler(fork))
                code = await _line(connection)
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


def _asked(environ: Mapping[str, str], folder: str | Path, speaks: bool) -> socket.socket | None:
    """The connection on which the server answers; None where there is none.

    Sent are the fork's standard input, output and error, and a file in memory with its environment and folder as JSON.
    """
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(ANSWERS_WITHIN_S)
        connection.connect(os.environ[ADDRESS])
        with open(os.memfd_create("request"), "w+b") as request, open(os.devnull, "r+b") as nothing:
            request.write(json.dumps({"environ": {**environ}, "folder": str(folder)}).encode())
            request.seek(0)
            streams = [nothing.fileno(), *((1, 2) if speaks else (nothing.fileno(),) * 2), request.fileno()]
            socket.send_fds(connection, [b"\n"], streams)
        connection.setblocking(False)
    except OSError:
        connection.close()
        return None
    return connection


async def _line(connection: socket.socket) -> bytes:
    """The next line without its end; empty where the server has gone."""
    said = b""
    while not said.endswith(b"\n"):
        try:
            byte = connection.recv(1)
        except BlockingIOError:
            await anyio.wait_readable(connection)
            continue
        except OSError:
            byte = b""
        if not byte:
            return b""
        said += byte
    return said.strip()
