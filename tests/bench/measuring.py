"""Timing: one warm-up, several runs, median and range; and the measuring process's peak memory."""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# ru_maxrss: bytes on macOS, KiB on Linux
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


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
    """The measurements of one figure: seconds, bytes or FLOP/s, one value per run.

    first: the warm-up, not counted, with one-off costs.  peak_bytes: of the largest process.
    together_bytes: the sum over a tree of several processes.  flop: of one run, if known.  shares:
    each run's fraction of the machine's float32 speed, as measured next to it.
    """

    figure: str
    values: tuple[float, ...]
    peak_bytes: int
    first: float | None = None
    together_bytes: int | None = None
    flop: float | None = None
    shares: tuple[float, ...] = ()
    remark: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def asdict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> "Measured":
        return cls(**{**kept, "values": tuple(kept["values"]), "shares": tuple(kept["shares"])})


def timed(
    figure: str,
    action: Callable[[Any], object],
    *,
    runs: int,
    prepare: Callable[[int], Any] = lambda run: run,
    each: int = 1,
    remark: str = "",
    flop: float | None = None,
) -> Measured:
    """Time `action(prepare(run))` in seconds, without `prepare`: run 0 warms up, runs 1 to `runs`
    count.

    each: units of work per call, by which times are divided.  flop: of one unit.
    """
    first, *values = (_seconds(action, prepare(run)) / each for run in range(runs + 1))
    return Measured(figure, tuple(values), own_peak(), first=first, remark=remark, flop=flop)


def own_peak() -> int:
    """This process's peak memory in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT


def _seconds(action: Callable[[Any], object], prepared: Any) -> float:
    began = time.perf_counter()
    action(prepared)
    return time.perf_counter() - began
