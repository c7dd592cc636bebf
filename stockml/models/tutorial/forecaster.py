"""The tutorial's network as a forecaster: frozen weights, and the scale of the last window."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stockml.models.tutorial.recipe import Prepared, pasts, prepare, rollout
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
from stockml.storage.arrays import Floats, Indices


@dataclass(frozen=True)
class TutorialScale:
    """Extremes of the last scaling window, in price: beyond them the network has never seen a value."""

    low: float
    high: float

    @classmethod
    def of(cls, prepared: Prepared) -> "TutorialScale":
        return cls(float(prepared.low[-1]), float(prepared.high[-1]))

    def drift(self, series: PriceSeries) -> float:
        """How far the newest price is from the window's middle, in half ranges; at least 1."""
        half = max((self.high - self.low) / 2, np.finfo(np.float64).tiny)
        return max(1.0, abs(float(series.mid[-1]) - (self.high + self.low) / 2) / half)

    def asdict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class TutorialForecaster:
    """One fitted network: `paths` is vectorised, and from `learned_until` on causal; before it, scales look ahead."""

    look_back: int
    horizon: int
    weights: tuple[NDArray[Any], ...]
    scale: TutorialScale
    learned_until: np.datetime64
    shrinkage: float = 1.0

    def paths(self, series: PriceSeries, origins: Indices | Sequence[int]) -> Floats:
        """(len(origins), horizon) mid prices: row m, column k - 1 is session origins[m] + k as seen after origins[m].

        The series must begin where the learned one began. Origins must be at least look_back - 1.
        """
        at = np.asarray(origins, dtype=np.int64)
        train_end = int(np.searchsorted(series.sessions, self.learned_until, side="right"))
        prepared = prepare(series.mid, train_end)
        fed = pasts(prepared.values, at + 1, self.look_back)
        return prepared.prices(at, rollout(self.weights, fed, self.horizon))


def restored(kept: dict[str, Any], settings: Settings, weights: tuple[NDArray[Any], ...]) -> TutorialForecaster:
    """What a model's folder says of one network, as a forecaster."""
    return TutorialForecaster(
        look_back=settings.network.look_back,
        horizon=settings.evaluation.horizon,
        weights=weights,
        scale=TutorialScale(**kept["scale"]),
        learned_until=np.datetime64(kept["learned_until"]),
    )
