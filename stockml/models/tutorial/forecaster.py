"""The tutorial's network as a forecaster: frozen weights, and the scaling windows that they were learned in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stockml.models.tutorial.recipe import Prepared, pasts, prepared_within, rollout, windows
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
from stockml.storage.arrays import Days, Floats, Indices


@dataclass(frozen=True)
class TutorialScale:
    """The scaling windows that were learned: the session each begins with, and its extremes in price.

    The last window's extremes hold for all later sessions; beyond them the network has never seen a value.
    """

    since: tuple[str, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]

    @classmethod
    def of(cls, prepared: Prepared, sessions: Days) -> "TutorialScale":
        """sessions: (n,), those of the prepared series."""
        begins = windows(prepared.train_end)
        low, high = prepared.low[begins], prepared.high[begins]
        return cls(tuple(map(str, sessions[begins])), tuple(low.tolist()), tuple(high.tolist()))

    def prepared(self, series: PriceSeries, train_end: int) -> Prepared:
        """Scale and smooth any stretch of the ticker's sessions as the learned series was, whatever its length.

        A stretch that begins later smooths from its own first value instead of the mean so far: after 150 sessions
        less than a millionth of the difference is left.
        """
        begins = np.array(self.since, dtype="datetime64[D]")
        at = np.maximum(np.searchsorted(begins, series.sessions, side="right") - 1, 0)
        low, high = np.array(self.lows)[at], np.array(self.highs)[at]
        whole = bool(series.sessions[0] <= begins[0])
        return prepared_within(series.mid, low, high, train_end, start=0.0 if whole else None)

    def drift(self, series: PriceSeries) -> float:
        """How far the newest price is from the last window's middle, in half ranges; at least 1."""
        low, high = self.lows[-1], self.highs[-1]
        half = max((high - low) / 2, np.finfo(np.float64).tiny)
        return max(1.0, abs(float(series.mid[-1]) - (high + low) / 2) / half)


@dataclass(frozen=True, eq=False)
class TutorialForecaster:
    """One fitted network: `paths` is vectorised, and from `learned_until` on causal; before it, scales look ahead."""

    settings: Settings
    weights: tuple[NDArray[Any], ...]
    scale: TutorialScale
    learned_until: np.datetime64

    def paths(self, series: PriceSeries, origins: Indices | Sequence[int]) -> Floats:
        """(m, horizon) mid prices of the sessions after each origin; origins must be at least look_back - 2."""
        at, network = np.asarray(origins, dtype=np.int64), self.settings.network
        prepared = self.scale.prepared(series, len(series.through(self.learned_until)))
        fed = pasts(prepared.values, at + 1, network.look_back)
        return prepared.prices(at, rollout(self.weights, fed, self.settings.evaluation.horizon, network.cell))
