"""Simulated machines: each has its own file system, host name and processes, and shares the loopback.

`unshare` creates them, each with its own disk mounted at the same path. Run as a program, this module is what runs in
one: it runs the nights requested on stdin, one per line.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.settings import PREFECT_API_URL

from deployments.process import imports_uncollected

APART = ("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
SETTINGS = 'hostname "$0" && mount -t tmpfs tmpfs "$1" && exec "$2" -m tests.support.machines'


@dataclass(frozen=True)
class Machine:
    """A running machine: `night` starts a night there, `outcome` waits for its end."""

    name: str
    process: "subprocess.Popen[str]"

    def night(self, **asked: Any) -> None:
        assert self.process.stdin is not None
        print(json.dumps(asked, default=str), file=self.process.stdin, flush=True)

    def outcome(self) -> str:
        """`Completed`, or the name of another state and its message; "" once the machine is gone."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        """End the machine as a power failure would, with all its processes and its disk."""
        self.process.kill()
        self.process.wait()


@contextmanager
def machine(name: str, disk: Path, environ: Mapping[str, str]) -> Iterator[Machine]:
    """Run a machine whose own disk is mounted at the folder `disk`; its nights get this environment."""
    disk.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [*APART, "sh", "-c", SETTINGS, name, str(disk), sys.executable],
        env={**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value() or "", **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    found = Machine(name, process)
    try:
        assert found.outcome() == "up"
        yield found
    finally:
        found.kill()
        process.stdin.close()  # type: ignore[union-attr]
        process.stdout.close()  # type: ignore[union-attr]


def main() -> None:
    with imports_uncollected():
        from flows.nightly import nightly
    said, sys.stdout = sys.stdout, sys.stderr
    print("up", file=said, flush=True)
    for line in sys.stdin:
        state: Any = nightly(**json.loads(line), return_state=True)
        message = "" if state.is_completed() else f": {' '.join(str(state.message).split())}"
        print(f"{state.name}{message}", file=said, flush=True)


if __name__ == "__main__":
    main()
