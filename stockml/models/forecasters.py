"""Forecasts beside the network's: the simple ones, and other packages' forecasters.

The simple ones fit nothing and look ahead at nothing: every model is measured against them.

Other packages' are classes that entry points `stockml.forecasters` name. Each is a row of the
tables; the one that the setting `training.forecaster` names is the challenger too. It runs in a
process of its own: one that fails, takes too long or crashes costs its row, not the night.
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
import pandas as pd

from stockml.features.origins import cached_causal
from stockml.features.volatility import Volatilities
from stockml.models.regressions import LEADS, LEVELS, RIDGE, symmetrised
from stockml.prices.adjusted_series import PriceSeries
from stockml.storage.arrays import Floats, Indices

AVERAGE_WINDOW = 100
EMA_DECAY = 0.5
DRIFT_SESSIONS = 2_500
MOMENTUM_SESSIONS = 20
MOMENTUM_DAMPING = 0.9

# log return per session at the usual volatility, 8 % a year; found walk-forward
USUAL_RISE = 0.0003
USUAL_VOLATILITY = 0.018  # daily, from close to close
# of volatility / usual; 0: the same rise for every share, 1: the same return for each unit of risk
RISE_POWER = 0.75
# daily; a share that halved in a day. No rise was measured beyond it before 1999
MAX_VOLATILITY = 0.125
PUBLISHED_SHARE = 0.5  # of the usual rise: a quarter to a half of it lost in no era


def trailing_mean(prices: Floats, window: int = AVERAGE_WINDOW) -> Floats:
    """Mean of the last `window` values, or of as many as there are.  prices: (n,).  Returns
    (n,)."""
    return np.asarray(pd.Series(prices).rolling(window, min_periods=1).mean(), dtype=np.float64)


def exponential_mean(
    prices: Floats, decay: float = EMA_DECAY, start: float | None = None
) -> Floats:
    """(n,) decay · (the mean so far) + (1 − decay) · (the newest value), from the first or `start`.
    prices: (n,)."""
    first = prices[:1] if start is None else np.array([start])
    means = pd.Series(np.concatenate([first, prices])).ewm(alpha=1 - decay, adjust=False).mean()
    return np.asarray(means, dtype=np.float64)[1:]


def mean_step(prices: Floats, sessions: int) -> Floats:
    """Mean change per session over the last `sessions` changes, or as many as there are.  prices:
    (n,)."""
    newest = np.arange(len(prices))
    oldest = np.maximum(newest - sessions, 0)
    return (prices - prices[oldest]) / np.maximum(newest - oldest, 1)


def baseline_paths(prices: Floats, origins: Indices, horizon: int) -> dict[str, Floats]:
    """{name: (m, horizon)} price at leads 1 … horizon by every baseline, from the same origins.

    prices: (n,), price.  origins: (m,), session indices.  Each forecast depends on prices up to its
    origin alone.
    """
    last, still, straight = prices[origins, None], np.zeros(horizon), np.arange(1.0, horizon + 1)
    # a trend that continues, ever weaker (Gardner and McKenzie 1985)
    damped = np.cumsum(MOMENTUM_DAMPING**straight)
    return {
        "standard average": trailing_mean(prices)[origins, None] + still,
        "EMA": exponential_mean(prices)[origins, None] + still,
        "drift": mean_step(prices, DRIFT_SESSIONS)[origins, None] * straight + last,
        "momentum": mean_step(prices, MOMENTUM_SESSIONS)[origins, None] * damped + last,
    }


@cached_causal
def expected_drift(series: PriceSeries) -> Floats:
    """(n,) usual log return per session of a share with this volatility: the same for all beyond
    MAX_VOLATILITY.

    On 105 tickers it was the highest from 1983 to 1998, and lower bounds (0.02 to 0.1) lost there.
    In later eras it gained 0.1 to 0.2 % of CRPS on the 56 origins beyond it, after which prices
    fell by a fifth in 50 sessions.
    """
    bounded = np.minimum(Volatilities.of(series).ewma_60, MAX_VOLATILITY)
    return USUAL_RISE * (bounded / USUAL_VOLATILITY) ** RISE_POWER


def published_median(series: PriceSeries, origins: Indices, leads: Indices) -> Floats:
    """(m, leads) log moves from each origin's close that are published as the median: half of the
    usual rise a session.

    On 99 tickers, in eras from 2003 and from 2009, half of the rise gained on nine of ten.
    """
    return PUBLISHED_SHARE * expected_drift(series)[origins, None] * leads


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
