"""Timing: one warm-up, several runs, median and range; and the peak memory of the process that measured."""

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
    """Where a part may write, and whether time is short. The folder is shared by the parts and removed afterwards."""

    folder: Path
    fast: bool

    def runs(self, usual: int, fast: int) -> int:
        return fast if self.fast else usual


@dataclass(frozen=True)
class Measured:
    """What became of a figure: seconds, or bytes, or FLOP/s, a value a run.

    `first` is the warm-up, which does not count: what a process pays once. `peak_bytes` is the largest process;
    `together_bytes` all processes of a tree, added up, where there are several. `flop`: of one run, where it is known,
    and `shares`: what each run came to of the machine's float32 speed, as it was beside it.
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
    """Run 0 warms up, runs 1 … `runs` count: seconds of `action(prepare(run))`, without those of `prepare`.

    Each call does `each` of what is measured; `flop` is of one of them.
    """
    first, *values = (_seconds(action, prepare(run)) / each for run in range(runs + 1))
    return Measured(figure, tuple(values), own_peak(), first=first, remark=remark, flop=flop)


def own_peak() -> int:
    """Bytes of this process at its largest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT


def _seconds(action: Callable[[Any], object], prepared: Any) -> float:
    began = time.perf_counter()
    action(prepared)
    return time.perf_counter() - began
