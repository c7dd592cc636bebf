"""Other packages' forecasters: classes that entry points `stockml.forecasters` name.

Each is a row of the tables; the one that the setting `training.forecaster` names is the challenger
too. It runs in a process of its own: one that fails, takes too long or crashes costs its row, not
the night.
"""

import pickle
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from stockml.models.regressions import LEADS, LEVELS, RIDGE, published_median, symmetrised
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


class ForecasterFault(ValueError):
    """Why a forecaster gave no forecast, and what to do."""


def forecaster_rows(series: PriceSeries, origins: Indices, leads: Indices) -> QuantileRows:
    """The rows of all registered forecasters, each fitted up to the first origin, and why others
    are missing.

    origins: (m,), ascending.  leads: (leads,).
    """
    rows, reasons = dict[str, Floats](), dict[str, str]()
    for each in registered():
        try:
            rows[each.name] = quantiles_by(each.name, series, int(origins[0]) + 1, origins, leads)
        except ForecasterFault as fault:
            reasons[each.name] = str(fault)
    return rows, reasons


def quantiles_by(
    name: str, series: PriceSeries, known: int, origins: Indices, leads: Indices
) -> Floats:
    """(m, leads, 21) quantiles by the registered forecaster, which learns from the first `known`
    sessions.

    Raises ForecasterFault.
    """
    try:
        return _answered(name, (series, known, origins, leads))
    except subprocess.TimeoutExpired:
        late = f"expected a forecast within {PATIENCE_S:.0f} s, found none"
        raise ForecasterFault(f"{late}; make the forecaster {name} faster") from None
    except (OSError, ValueError) as refused:
        advice = f"correct the forecaster {name}, or uninstall its package"
        raise ForecasterFault(f"{refused}; {advice}") from refused


def _answered(name: str, asked: tuple[PriceSeries, int, Indices, Indices]) -> Floats:
    _, _, origins, leads = asked
    with TemporaryDirectory() as folder:
        question, answer = Path(folder) / "asked", Path(folder) / "answer.npy"
        question.write_bytes(pickle.dumps((name, asked)))
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


@dataclass(frozen=True, eq=False)
class PackagedForecaster:
    """Another package's forecaster as a night's model: its width around the published median.

    It learns from the sessions up to `learned_until`, each time that it is asked.  fault: why it
    gives no forecast; the ridge regression's width is then published.
    """

    name: str
    learned_until: np.datetime64
    fault: str = ""

    forecasts_path: ClassVar[bool] = False
    vintages: ClassVar[None] = None
    scale: ClassVar[None] = None
    weights: ClassVar[tuple[()]] = ()

    @classmethod
    def tried(cls, name: str, series: PriceSeries) -> Self:
        """One that learns from all of `series`, asked once for its forecast after the last
        session."""
        last, fault = np.array([len(series) - 1]), ""
        try:
            quantiles_by(name, series, len(series), last, np.array(LEADS))
        except ForecasterFault as found:
            fault = str(found)
        return cls(name, series.sessions[-1], fault)

    @property
    def width_by(self) -> str:
        """Whose width it forecasts: its own or, with a fault, RIDGE."""
        return RIDGE if self.fault else self.name

    def forecast(
        self, series: PriceSeries, origins: Indices, leads: Indices
    ) -> tuple[Floats, Floats | None]:
        """(m, leads) medians, and (m, leads, 21) quantiles symmetric about 0; None with a fault."""
        median = published_median(series, origins, leads)
        if self.fault:
            return median, None
        known = len(series.through(self.learned_until))
        return median, symmetrised(quantiles_by(self.name, series, known, origins, leads))

    def asdict(self) -> dict[str, Any]:
        """What is written of it; its package is not kept."""
        return {**vars(self), "learned_until": str(self.learned_until)}


def _answer(question: Path, answer: Path) -> None:
    """In the forecaster's own process: fit it, and keep its quantiles."""
    name, (series, known, origins, leads) = pickle.loads(question.read_bytes())
    forecaster: Any = registered()[name].load()()
    forecaster.fit(series.until(known))
    np.save(answer, np.asarray(forecaster.quantiles(series, origins, leads), dtype=np.float64))


if __name__ == "__main__":
    _answer(*map(Path, sys.argv[1:]))
