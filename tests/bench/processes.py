"""Run whole processes as a user does, and measure their time and the memory of them and their
children."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from deployments.replay.feed import Feed, replay_environment
from tests.bench.measuring import RSS_UNIT

SAMPLE_EVERY_S = 0.2
OTHERS = ("STOCKML_", "PREFECT_", "MLFLOW_", "ALPHAVANTAGE_")


@dataclass(frozen=True)
class Ended:
    """A process that ended with exit code 0.

    cpu_s: CPU seconds of all its processes.  largest_bytes: the exact peak of its largest process,
    as the system counted it.  together_bytes: the largest sum over its processes, sampled five
    times a second; memory that they share is counted in each.
    """

    seconds: float
    cpu_s: float
    largest_bytes: int
    together_bytes: int
    output: str
    errors: str

    def answer(self) -> Any:
        """Its output, parsed as JSON."""
        return json.loads(self.output)


def stockml(
    place: Path, feed: Feed, *arguments: str, under: Sequence[str] = (), **environment: str
) -> Ended:
    """Run `stockml ARGUMENTS` in the home `place`, at the feed's time; it inherits no variable
    named like OTHERS.

    under: a command, such as a profiler, to run it under.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
    named = {"STOCKML_HOME": str(place), **replay_environment(feed), **environment}
    return ended([*under, sys.executable, "-m", "deployments.cli", *arguments], inherited | named)


def ended(command: list[str], environment: Mapping[str, str]) -> Ended:
    """Run the command to its end. Raises RuntimeError, with the end of its errors, if it fails."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=dict(environment))
        with Sampled(process.pid) as sampled:
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        said = [_content(file) for file in (output, errors)]
    if process.returncode:
        raise RuntimeError(
            f"{' '.join(command)} ended with {process.returncode}: {said[1][-2000:]}"
        )
    return Ended(
        seconds,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * RSS_UNIT,
        sampled.together_bytes,
        *said,
    )


class Sampled:
    """Samples the summed memory of a process and its descendants while it runs; keeps the
    maximum."""

    def __init__(self, pid: int) -> None:
        self.together_bytes = 0
        self._root = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Sampled":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_EVERY_S):
            self.together_bytes = max(self.together_bytes, _together(self._root))


def _together(root: psutil.Process) -> int:
    total = 0
    try:
        for process in (root, *root.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:  # ended meanwhile: the next sample sees the rest
        pass
    return total


def _content(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode(errors="replace"))
