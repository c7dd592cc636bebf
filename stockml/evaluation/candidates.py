"""A model as it is measured tonight: its own paths, and what would have been published of them.

Never here: who wins.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from stockml.features.windows import OriginSplit, origins
from stockml.forecasts.conformal import ConformalIntervals
from stockml.forecasts.error_scaling import absolute_volatility
from stockml.forecasts.shrinkage import OutOfSampleMoments, ShrunkForecast, combined
from stockml.models.pooled_regression import LEVELS
from stockml.models.trend_prior import prior_path
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.storage.arrays import Floats, Indices


class Paths(Protocol):
    """Anything that forecasts: `paths(series, origins)` gives (len(origins), horizon) mid prices, causally."""

    def paths(self, series: PriceSeries, origins: Indices, /) -> Floats: ...


class Model(Protocol):
    """The two networks of a night; `learned_until` of the scored one must lie before what it is scored on."""

    @property
    def held_out(self) -> Any: ...
    @property
    def published(self) -> Any: ...


class Measured(Protocol):
    """Anything that is scored on origins: paths (m, horizon), price, and chances of a rise."""

    @property
    def paths(self) -> Floats: ...
    def rises(self, series: PriceSeries, at: Indices, step: int) -> Floats: ...


@dataclass(frozen=True)
class Scored:
    """Paths on the test part, (origins, horizon), and the bands that belong to them; neither saw anything of it."""

    paths: Floats
    bands: ConformalIntervals

    def rises(self, series: PriceSeries, at: Indices, step: int) -> Floats:
        """(origins,) chance of a mid price above the origin's close at `step`."""
        current = absolute_volatility(series.mid)[at]
        return self.bands.probability_of_rise(self.paths, current, series.close[at], step)

    def log_quantiles(self, series: PriceSeries, at: Indices, leads: Indices) -> Floats:
        """(origins, leads, 21) quantiles at LEVELS of log(mid price / close of the origin)."""
        current = absolute_volatility(series.mid)[at]
        found = self.bands.quantile_path(self.paths, current, LEVELS)[:, leads - 1]
        return np.asarray(np.log(found / series.close[at, None, None]), dtype=np.float64)


@dataclass(frozen=True)
class Candidate(Scored):
    """A model's own paths, what is known of them, and its path of tonight, (horizon,).

    validation: origins, and the paths from them.  shown: after every session of the validation part and, as it becomes
    known, of the test part.
    """

    validation: tuple[Indices, Floats]
    shown: OutOfSampleMoments
    combination: ShrunkForecast
    tonight: Floats

    @classmethod
    def of(
        cls, series: PriceSeries, split: OriginSplit, settings: EvaluationSettings, model: Model | None
    ) -> "Candidate":
        """The model's, or without one the last close's."""
        unseen = np.concatenate([origins(part, 1) for part in (split.validation, split.test)])
        newest, mid = np.array([len(series) - 1]), series.mid
        if model is None:
            said, tonight = (np.tile(series.close[at, None], settings.horizon) for at in (unseen, newest))
        else:
            said, tonight = model.held_out.paths(series, unseen), model.published.paths(series, newest)
        shown = OutOfSampleMoments.of(series, unseen, said, settings)
        validation = origins(split.validation, settings.origin_every)
        known, paths = (part[:: settings.origin_every] for part in np.split(said, [len(split.validation)]))
        weights = shown.weights(newest)[0]
        bands = ConformalIntervals.fit(mid, validation, combined(series.close[validation], known, weights))
        combination = ShrunkForecast(tuple(weights.tolist()), shown.skill(), bands)
        own = ConformalIntervals.fit(mid, validation, known)
        return cls(paths, own, (validation, known), shown, combination, tonight[0])

    def published(self, series: PriceSeries, test: Indices) -> Scored:
        """What would have been published after each test origin, with the weights that were known then."""
        validation, known = self.validation
        weights = self.shown.weights(test)
        calibrated = combined(series.close[validation], known, weights[0])
        bands = ConformalIntervals.fit(series.mid, validation, calibrated)
        return Scored(combined(series.close[test], self.paths, weights), bands)


@dataclass(frozen=True)
class TrendPrior:
    """The path that the network starts from, as a model of its own: nothing is learned, nothing is seen."""

    horizon: int

    @property
    def held_out(self) -> "TrendPrior":
        return self

    @property
    def published(self) -> "TrendPrior":
        return self

    def paths(self, series: PriceSeries, origins: Indices, /) -> Floats:
        """(len(origins), horizon) mid prices."""
        moves = prior_path(series, origins, self.horizon)
        return np.asarray(series.mid[origins, None] * np.exp(moves), dtype=np.float64)
