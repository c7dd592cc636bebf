"""Time and memory: of a function in this process, and of whole processes, run as a user does."""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from deployments.replay import Feed, replay_environment

# ru_maxrss: bytes on macOS, KiB on Linux
RSS_UNIT = 1 if sys.platform == "darwin" else 1024
SAMPLE_EVERY_S = 0.2
OTHERS = ("STOCKML_", "PREFECT_", "MLFLOW_", "ALPHAVANTAGE_")


@dataclass(frozen=True)
class Scene:
    """The folder that parts may write to, shared by them and removed afterwards, and whether to run
    few repeats."""

    folder: Path
    fast: bool

    def runs(self, usual: int, fast: int) -> int:
        return fast if self.fast else usual


@dataclass(frozen=True)
class Measured:
    """The measurements of one figure: seconds or bytes, one value per run.

    first: the warm-up, not counted, with one-off costs.  peak_bytes: of the largest process.
    together_bytes: the sum over a tree of several processes.
    """

    figure: str
    values: Sequence[float]
    peak_bytes: int
    first: float | None = None
    together_bytes: int | None = None
    remark: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)


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


def timed(
    figure: str,
    action: Callable[[int], object],
    *,
    runs: int,
    remark: str = "",
) -> Measured:
    """Time `action(run)` in seconds: run 0 warms up, runs 1 to `runs` count."""
    seconds = []
    for run in range(runs + 1):
        began = time.perf_counter()
        action(run)
        seconds.append(time.perf_counter() - began)
    return Measured(figure, seconds[1:], own_peak(), first=seconds[0], remark=remark)


def own_peak() -> int:
    """This process's peak memory in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT


def by_processes(figure: str, ended: Sequence[Ended], remark: str) -> Measured:
    """The seconds of processes, one a run."""
    return Measured(
        figure,
        [each.seconds for each in ended],
        max(each.largest_bytes for each in ended),
        together_bytes=max(each.together_bytes for each in ended),
        remark=remark,
    )


def stockml(place: Path, feed: Feed, *arguments: str, **environment: str) -> Ended:
    """Run `stockml ARGUMENTS` in the home `place`, at the feed's time; it inherits no variable
    named like OTHERS."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
    named = {"STOCKML_HOME": str(place), **replay_environment(feed), **environment}
    return ended([sys.executable, "-m", "deployments.cli", *arguments], inherited | named)


def ended(command: list[str], environment: Mapping[str, str]) -> Ended:
    """Run the command to its end. Raises RuntimeError, with the end of its errors, if it fails."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=dict(environment))
        over, together = threading.Event(), [0]
        sampler = threading.Thread(target=_sample, args=(process.pid, over, together), daemon=True)
        sampler.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        over.set()
        sampler.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        said = [_content(file) for file in (output, errors)]
    if process.returncode:
        raise RuntimeError(
            f"{' '.join(command)} ended with {process.returncode}: {said[1][-2000:]}"
        )
    cpu_s = usage.ru_utime + usage.ru_stime
    return Ended(seconds, cpu_s, usage.ru_maxrss * RSS_UNIT, max(together), *said)


def _sample(pid: int, over: threading.Event, together: list[int]) -> None:
    """Note the summed memory of a process and its descendants until it is over."""
    root = psutil.Process(pid)
    while not over.wait(SAMPLE_EVERY_S):
        try:
            tree = (root, *root.children(recursive=True))
            together.append(sum(process.memory_info().rss for process in tree))
        except psutil.NoSuchProcess:  # ended meanwhile: the next sample sees the rest
            pass


def _content(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode(errors="replace"))
