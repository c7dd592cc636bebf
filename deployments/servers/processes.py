"""Child processes that end when this one does: started with a log file, waited for, stopped with all they started."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psutil

from deployments.errors import ServerFailed
from deployments.servers.ends_with_parent import end
from stockml.home import owner_only


@dataclass(frozen=True)
class Child:
    """A started program: what it is called, where it writes to.

    `reports`: it reports how its own children ended, so they are stopped first.
    """

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    reports: bool = False

    def check(self) -> None:
        """Raises ServerFailed with the log's last line when it has ended."""
        if (code := self.process.poll()) is not None:
            raise ServerFailed(self.name, code, str(self.log), last_line(self.log))


def start(
    name: str,
    module: str,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    log: Path,
    *,
    reports: bool = False,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Start `python -m module arguments...` in a session of its own, so that Ctrl-C reaches only this process.

    It ends when this process does, however that ends. What it writes is for its owner only. pass_fds: what it inherits.
    """
    with owner_only():
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "deployments.servers.ends_with_parent", module, *arguments],
                env=dict(environ),
                stdin=subprocess.PIPE,  # held open for as long as this process lives
                stdout=sink,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
                start_new_session=True,
            )
    return Child(name, process, log, reports)


def wait_until_healthy(child: Child, url: str, deadline: float) -> None:
    """Ask `url` until it answers 200. Raises ServerFailed when the child ends, or at `deadline` (monotonic)."""
    while time.monotonic() < deadline:
        child.check()
        with contextlib.suppress(OSError), urlopen(url, timeout=2) as reply:
            if reply.status == 200:
                return
        time.sleep(0.1)
    raise ServerFailed(child.name, None, str(child.log), last_line(child.log))


def stop(children: Iterable[Child], patience_s: float = 15.0) -> None:
    """Stop one after the other, each with all that it started: SIGTERM, and SIGKILL for what is still there then."""
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


def last_line(log: Path) -> str:
    """What a program said last; empty when nothing can be read."""
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
