"""Other packages' forecasters: classes that entry points `stockml.forecasters` name, a row each.

It runs in a process of its own: one that fails, takes too long or crashes costs its row, not the
night.
"""

import pickle
import subprocess
import sys
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np

from stockml.models.lead_grid import LEVELS
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

GROUP = "stockml.forecasters"
PATIENCE_S = 60.0

QuantileRows = tuple[dict[str, Floats], dict[str, str]]
"""By row, (m, leads, 21) quantiles at LEVELS of log(close at lead / close of the origin); why
others are missing."""


class Forecaster(Protocol):
    """What such a class has; it is made without arguments."""

    def fit(self, known: PriceSeries) -> None:
        """Learn from a ticker's sessions up to the first origin."""

    def quantiles(self, series: PriceSeries, origins: Indices, leads: Indices) -> Floats:
        """(m, leads, 21) quantiles at LEVELS of log(close at lead / close of the origin).

        origins: (m,), ascending indices of `series`.  Each row rests on sessions up to its origin
        alone.
        """


def registered() -> EntryPoints:
    """The entry points; each one's name is its row's."""
    return entry_points(group=GROUP)


def identities() -> list[str]:
    """Each row with its package's version: what a night's numbers depend on besides this code."""
    return sorted(
        f"{each.name}={each.value} {each.dist.version if each.dist else ''}"
        for each in registered()
    )


def forecaster_rows(series: PriceSeries, origins: Indices, leads: Indices) -> QuantileRows:
    """The rows of all registered forecasters, and why others are missing.

    origins: (m,), ascending.  leads: (leads,).
    """
    rows, reasons = dict[str, Floats](), dict[str, str]()
    for each in registered():
        try:
            rows[each.name] = _row(each.value, (series, origins, leads))
        except subprocess.TimeoutExpired:
            late = f"expected a forecast within {PATIENCE_S:.0f} s, found none"
            reasons[each.name] = f"{late}; make {each.value} faster"
        except (OSError, ValueError) as refused:
            reasons[each.name] = f"{refused}; correct {each.value}, or uninstall its package"
    return rows, reasons


def _row(value: str, asked: tuple[PriceSeries, Indices, Indices]) -> Floats:
    _, origins, leads = asked
    with TemporaryDirectory() as folder:
        question, answer = Path(folder) / "asked", Path(folder) / "answer.npy"
        question.write_bytes(pickle.dumps((value, asked)))
        command = [sys.executable, "-m", __name__, str(question), str(answer)]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        if ended.returncode:
            last = (ended.stderr.splitlines() or [f"exit code {ended.returncode}"])[-1]
            raise ValueError(f"expected a forecast, found {last}")
        quantiles = np.load(answer, allow_pickle=False)
    shape = (len(origins), len(leads), len(LEVELS))
    if (
        quantiles.shape != shape
        or not np.isfinite(quantiles).all()
        or (np.diff(quantiles) < 0).any()
    ):
        raise ValueError(
            f"expected {shape} finite quantiles that never fall, found others {quantiles.shape}"
        )
    return np.asarray(quantiles, dtype=np.float64)


def _answer(question: Path, answer: Path) -> None:
    """In the forecaster's own process: fit it up to the first origin, and keep its quantiles."""
    value, (series, origins, leads) = pickle.loads(question.read_bytes())
    [wanted] = (each for each in registered() if each.value == value)
    forecaster: Any = wanted.load()()
    forecaster.fit(series.until(int(origins[0]) + 1))
    np.save(answer, np.asarray(forecaster.quantiles(series, origins, leads), dtype=np.float64))


if __name__ == "__main__":
    _answer(*map(Path, sys.argv[1:]))
