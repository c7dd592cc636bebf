"""A model as it is scored tonight: its forecasts as they would have been published, after past origins and tonight."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

import numpy as np

from stockml.errors import InvalidSetting
from stockml.features.origins import OriginSplit, scored_origins
from stockml.forecasts.outlook import chance_above
from stockml.forecasts.publishing import CombinedForecast, Components, combine
from stockml.models.baselines import published_median, trend_prior_moves
from stockml.models.lead_grid import MEDIAN
from stockml.models.pooled_vintages import SHIPPED
from stockml.models.trained_model import Network, TrainedModel
from stockml.models.vintage_set import VintageSet
from stockml.prices.calendar import A_DAY
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.storage.arrays import Floats, Indices


@dataclass(frozen=True, eq=False)
class ScoringData:
    """The unseen origins, and the vintages and simple forecasts to score with.

    origins: (k,) of the validation and test parts, the first session of which is `first`.  test: (m,), the last of
    them, of the test part.  vintages: end before `first`.  simple_past: (k, horizon, 21), quantiles without a network,
    the ticker's own part included.  simple_tonight: (1, horizon, 21), the same after tonight, by the vintages to
    publish with, which may have seen tonight.
    """

    series: PriceSeries
    settings: EvaluationSettings
    first: date
    origins: Indices
    test: Indices
    vintages: VintageSet
    simple_past: Floats
    simple_tonight: Floats

    @classmethod
    def of(cls, series: PriceSeries, split: OriginSplit, settings: EvaluationSettings, model: TrainedModel) -> Self:
        """With the vintages of the model's networks.  Raises InvalidSetting for some that saw the first session."""
        first = series.sessions[split.validation.start].item()
        vintages = vintages_of(model.held_out, first)
        newest = vintages_of(model.published, (series.sessions[-1] + A_DAY).item())
        if (through := vintages.through) and through >= first:
            raise InvalidSetting("the last session of the pool", str(through), f"before the origin {first}")
        validation, test = (scored_origins(series, part, settings) for part in (split.validation, split.test))
        origins = np.concatenate([validation, test])
        leads, last = np.arange(1, settings.horizon + 1), np.array([len(series) - 1])
        simple_past = vintages.simple_quantiles(series, origins, leads, model.held_out.simple_correction)
        simple_tonight = newest.simple_quantiles(series, last, leads, model.published.simple_correction)
        return cls(series, settings, first, origins, test, vintages, simple_past, simple_tonight)


def vintages_of(network: Network, day: date, folders: Sequence[Path] = (SHIPPED,)) -> VintageSet:
    """The network's own; for one that has none, the newest in the folders that end before `day`."""
    return network.vintages or VintageSet.ending_before(day, folders)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model's forecasts as they would have been published on the test part, and as of tonight.

    test: from the m origins of the test part.  earlier: from all unseen origins before tonight, validation's included;
    `components`: what it combines.  tonight: after tonight.  own_path: (m, horizon), the network's own, in price, None
    where it forecasts none.  held_out: the network behind all but `tonight`; None without one.
    """

    test: CombinedForecast
    earlier: CombinedForecast
    tonight: CombinedForecast
    own_path: Floats | None
    components: Components
    held_out: Network | None

    @classmethod
    def of(cls, unseen: ScoringData, model: TrainedModel | None) -> Self:
        """The model's candidate or, without a model, that of the same procedure without a network.

        Raises InvalidSetting for a network that has seen the first unseen session.
        """
        series, origins, first = unseen.series, unseen.origins, unseen.first
        held_out, published = (model.held_out, model.published) if model else (None, None)
        if held_out and (through := held_out.learned_until) >= np.datetime64(first):
            raise InvalidSetting("the last session of the held-out network", str(through), f"before the origin {first}")
        newest = np.array([len(series) - 1])
        past = forecast_after(series, origins, unseen.simple_past, held_out)
        now = forecast_after(series, newest, unseen.simple_tonight, published)
        network = None  # also where there is a base for only one of the two
        if past.network is not None and now.network is not None:
            network = np.concatenate([past.network, now.network])
        location, simple = (np.concatenate(each) for each in ((past.location, now.location), (past.simple, now.simple)))
        combined = combine(series, np.concatenate([origins, newest]), Components(location, simple, network))
        earlier, test_rows = combined.at(slice(0, len(origins))), slice(len(origins) - len(unseen.test), len(origins))
        own_path = None
        if held_out and held_out.forecasts_path:
            own_path = np.asarray(np.exp(past.location[test_rows]) * series.close[unseen.test, None], dtype=np.float64)
        return cls(earlier.at(test_rows), earlier, combined.at(slice(len(origins), None)), own_path, past, held_out)

    @property
    def has_network(self) -> bool:
        return self.own_path is not None or bool((self.tonight.shares > 0).any())

    def paths(self, close: Floats) -> Floats:
        """(m, horizon) median prices on the test part.  close: (m,), of its origins."""
        return np.asarray(close[:, None] * np.exp(self.test.quantiles[..., MEDIAN]), dtype=np.float64)

    def rises(self, step: int) -> Floats:
        """(m,) chances, on the test part, of a price above the origin's close at `step`."""
        return chance_above(self.test.quantiles[:, step - 1], 0.0)


def trend_prior_paths(series: PriceSeries, origins: Indices, horizon: int) -> Floats:
    """(m, horizon) prices of the trend prior, for which nothing is learned."""
    return np.asarray(series.mid[origins, None] * np.exp(trend_prior_moves(series, origins, horizon)), dtype=np.float64)


def forecast_after(series: PriceSeries, origins: Indices, simple: Floats, network: Network | None) -> Components:
    """What a network forecasts after these origins, (m,), beside what its vintages forecast alone, (m, horizon, 21)."""
    leads = np.arange(1, simple.shape[1] + 1)
    if network is None:
        return Components(published_median(series, origins, leads), simple, None)
    location, quantiles = network.forecast(series, origins, leads)
    return Components(location, simple, quantiles)
