"""Child processes that end when this one does: started with a log file, waited for, stopped with
their descendants.

A child runs its module through `main` here. This process holds the other end of the child's stdin,
which closes when this process ends, even if it is killed.
"""

import contextlib
import os
import runpy
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import psutil

from stockml.errors import StockmlError
from stockml.home import owner_only

PATIENCE_S = 15.0
LOG_BYTES = 2**24  # a night of the worker's takes 3 KB


class ServerFailed(StockmlError):
    """A server did not start, or ended by itself; `code` is None if it gave no answer in time."""

    name: str
    code: int | None
    log: str
    last_line: str

    def __str__(self) -> str:
        found = "no answer in time" if self.code is None else f"that it ended with code {self.code}"
        if not self.last_line:  # on a full disk the log stays empty
            return (
                f"expected {self.name} to run, found {found}, and {self.log} empty; `stockml "
                "doctor` looks for why"
            )
        return (
            f"expected {self.name} to run, found {found} ({self.last_line[:160]}); see {self.log}"
        )


@dataclass(frozen=True)
class Program:
    """`python -m module arguments...`; `environ` may hold secrets, arguments never: every local
    user sees them.

    listens: (host, port) of a server.  reports: it reports how its own children ended, so they are
    stopped first.  pass_fds: inherited file descriptors.
    """

    name: str
    module: str
    arguments: Sequence[str]
    environ: Mapping[str, str] = field(repr=False)
    listens: tuple[str, int] | None = None
    reports: bool = False
    pass_fds: Sequence[int] = ()


@dataclass(frozen=True)
class Child:
    """A started program. began: by `time.monotonic`."""

    program: Program
    process: "subprocess.Popen[bytes]"
    log: Path
    began: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Raise ServerFailed, with the log's last line, if the child has ended."""
        if self.process.poll() is not None:
            raise self.failure()

    def failure(self) -> ServerFailed:
        lines = [""]
        with contextlib.suppress(OSError):
            lines += filter(str.strip, self.log.read_text(errors="replace").split("\n"))
        return ServerFailed(
            self.program.name, self.process.poll(), str(self.log), lines[-1].strip()
        )


def start(program: Program, log: Path) -> Child:
    """Start the program in a session of its own, so that Ctrl-C reaches only this process.

    It ends with this process, however that ends. Its log is its owner's only; appended to:
    `shorten_log` may cut it.
    """
    with owner_only():
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            sink.truncate(0)
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "deployments.servers.processes",
                    program.module,
                    *program.arguments,
                ],
                env=dict(program.environ),
                # a folder of the user's own: Prefect takes settings from the working folder's files
                cwd=log.parent,
                stdin=subprocess.PIPE,  # stays open as long as this process lives
                stdout=sink,
                stderr=subprocess.STDOUT,
                pass_fds=program.pass_fds,
                start_new_session=True,
            )
    return Child(program, process, log)


def shorten_log(log: Path, max_bytes: int = LOG_BYTES) -> None:
    """Leave the newest half of a log that has more than `max_bytes`, in whole lines; its program
    writes on."""
    with contextlib.suppress(OSError):  # a person may remove it; a disk may be full
        if log.stat().st_size > max_bytes:
            with log.open("rb") as source, log.open("ab") as sink:
                source.seek(-(max_bytes // 2), os.SEEK_END)
                source.readline()
                newest = source.read()
                sink.truncate(0)
                sink.write(newest)


def restart(child: Child) -> Child:
    """Start the child's program again after it has ended, and return the new child."""
    stop([child])
    return start(child.program, child.log)


def wait_until_healthy(child: Child, url: str, deadline: float) -> None:
    """Poll `url` until it answers 200, and that is the child. Raises ServerFailed if it ends, or at
    `deadline`."""
    while time.monotonic() < deadline:
        child.check()
        with contextlib.suppress(OSError), urlopen(url, timeout=2) as reply:
            if reply.status == 200 and _listens(child, urlsplit(url).port):
                return
        time.sleep(0.1)
    raise child.failure()


def _listens(child: Child, port: int | None) -> bool:
    """Whether the child or a descendant listens on the port; True where the system does not say."""
    try:
        sockets = [
            each
            for process in _family(child.process.pid)
            for each in process.net_connections("tcp")
        ]
    except (psutil.AccessDenied, psutil.NoSuchProcess) as unknown:  # the latter has ended
        return isinstance(unknown, psutil.AccessDenied)
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets)


def stop(children: Iterable[Child], patience_s: float = PATIENCE_S) -> None:
    """Stop the children in turn, each with its descendants: SIGTERM, then SIGKILL to those still
    alive."""
    for child in children:
        with child.process as process:  # closes its stdin in the end
            family = _family(process.pid) if process.poll() is None else _left_by(process.pid)
            if child.program.reports:
                end(family[1:], patience_s)
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
            end(family, patience_s=3.0)


def end(family: list[psutil.Process], patience_s: float) -> None:
    """Send SIGTERM to all, and after `patience_s` SIGKILL to those still alive."""
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(family, timeout=patience_s)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=patience_s)


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def _left_by(session: int) -> list[psutil.Process]:
    """What is left of the session of a child that was killed: MLflow's own server would keep the
    port."""
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            left += [process] if os.getsid(process.pid) == session else []
    return left


def main(module: str, arguments: list[str]) -> None:
    """Run `python -m module arguments...` here; when the parent is gone, end with all
    descendants."""
    threading.Thread(target=_watch, name="parent-watch", daemon=True).start()
    sys.argv[:] = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch() -> None:
    while os.read(0, 1024):
        pass
    me = psutil.Process()
    children = me.children(recursive=True)
    me.terminate()
    end(children, PATIENCE_S)
    time.sleep(PATIENCE_S)
    me.kill()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
