"""Child processes that end when this one does: started with a log file, waited for, stopped with their descendants.

A child runs its module through `main` here. This process holds the other end of the child's stdin, which closes when
this process ends, even if it is killed.
"""

import contextlib
import os
import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import psutil

from deployments.errors import ServerFailed
from stockml.home import owner_only

PATIENCE_S = 15.0
RESTARTS = 3  # killed more often, the fault is the machine's, or its memory


@dataclass(frozen=True)
class Program:
    """`python -m module arguments...`; `environ` may hold secrets, arguments never: every local user sees them."""

    name: str
    module: str
    arguments: Sequence[str]
    environ: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Child:
    """A started program. reports: it reports how its own children ended, so they are stopped first.

    began: by `time.monotonic`.  again: restarts it.
    """

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    again: "Callable[[], Child]" = field(repr=False)
    reports: bool = False
    began: float = field(default_factory=time.monotonic)

    @property
    def was_killed(self) -> bool:
        return (self.process.poll() or 0) < 0

    def check(self) -> None:
        """Raise ServerFailed, with the log's last line, if the child has ended."""
        if (code := self.process.poll()) is not None:
            raise ServerFailed(self.name, code, str(self.log), last_line(self.log))


def start(program: Program, log: Path, *, reports: bool = False, pass_fds: Sequence[int] = ()) -> Child:
    """Start the program in a session of its own, so that Ctrl-C reaches only this process.

    It ends with this process, however that ends. Its log is its owner's only. pass_fds: inherited file descriptors.
    """
    with owner_only():
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "deployments.servers.processes", program.module, *program.arguments],
                env=dict(program.environ),
                stdin=subprocess.PIPE,  # stays open as long as this process lives
                stdout=sink,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
                start_new_session=True,
            )
    again = partial(start, program, log, reports=reports, pass_fds=pass_fds)
    return Child(program.name, process, log, again, reports)


def started_anew(child: Child) -> Child:
    """Start the child's program again after it has ended, and return the new child."""
    stop([child])
    return child.again()


@contextlib.contextmanager
def kept_running(program: Program, log: Path, listening: socket.socket) -> Iterator[Callable[[], None]]:
    """Run the program, which serves `listening`; yield a function that checks it; stop it afterwards.

    A killed program is restarted, at most RESTARTS times; requests wait meanwhile, as the socket stays open. The socket
    is closed once the program ends otherwise.
    """

    def check() -> None:
        children[-1].check()

    def watch() -> None:
        for _ in range(RESTARTS):
            children[-1].process.wait()
            with lock:
                if stopping or not children[-1].was_killed:
                    break
                children.append(started_anew(children[-1]))
        children[-1].process.wait()
        listening.close()

    children, lock, stopping = [start(program, log, pass_fds=[listening.fileno()])], threading.Lock(), False
    watching = threading.Thread(target=watch, name=f"watch of {program.name}", daemon=True)
    watching.start()
    try:
        yield check
    finally:
        with lock:
            stopping = True
        stop(children[-1:])
        watching.join()


def wait_until_healthy(child: Child, url: str, deadline: float) -> None:
    """Poll `url` until it answers 200. Raises ServerFailed if the child ends, or at `deadline` (monotonic)."""
    while time.monotonic() < deadline:
        child.check()
        with contextlib.suppress(OSError), urlopen(url, timeout=2) as reply:
            if reply.status == 200:
                return
        time.sleep(0.1)
    raise ServerFailed(child.name, None, str(child.log), last_line(child.log))


def stop(children: Iterable[Child], patience_s: float = PATIENCE_S) -> None:
    """Stop the children in turn, each with its descendants: SIGTERM, then SIGKILL to those still alive."""
    for child in children:
        family = _family(child.process.pid)
        if child.reports:
            end(family[1:], patience_s)
        child.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(patience_s)
        end(family, patience_s=3.0)
        child.process.wait()
        if child.process.stdin:
            child.process.stdin.close()


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


def last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def main(module: str, arguments: list[str]) -> None:
    """Run `python -m module arguments...` here; when the parent is gone, end with all descendants."""
    threading.Thread(target=_watch, name="parent-watch", daemon=True).start()
    sys.argv = [module, *arguments]
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
