"""A model as it is scored tonight: its forecasts as it would publish them, after past origins and
tonight."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Self

import numpy as np

from stockml.errors import InvalidSetting
from stockml.features.origins import OriginSplit, scored_origins
from stockml.forecasts.outlook import chance_above
from stockml.models.regressions import MEDIAN, RIDGE, published_median, symmetrised
from stockml.models.trained_model import Network, TickerNetwork, TrainedModel
from stockml.models.vintage_set import VintageSet
from stockml.models.vintage_store import SHIPPED
from stockml.prices.calendar import A_DAY
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.storage.arrays import Floats, Indices


@dataclass(frozen=True, eq=False)
class ScoringData:
    """The unseen origins, and the vintages to score with.

    origins: (k,) of the validation and test parts, the first session of which is `first`.  test:
    (m,), the last of them, of the test part.  vintages: end before `first`.  newest: those to
    publish with, which may have seen tonight.
    """

    series: PriceSeries
    settings: EvaluationSettings
    first: date
    origins: Indices
    test: Indices
    vintages: VintageSet
    newest: VintageSet

    @classmethod
    def of(
        cls,
        series: PriceSeries,
        split: OriginSplit,
        settings: EvaluationSettings,
        model: TrainedModel,
    ) -> Self:
        """With the vintages of the model's networks.  Raises InvalidSetting for some that saw the
        first session."""
        first = series.sessions[split.validation.start].item()
        vintages = vintages_of(model.held_out, first)
        newest = vintages_of(model.published, (series.sessions[-1] + A_DAY).item())
        if (through := vintages.through) and through >= first:
            raise InvalidSetting(
                "the last session of the vintages", str(through), f"before the origin {first}"
            )
        validation, test = (
            scored_origins(series, part, settings) for part in (split.validation, split.test)
        )
        return cls(
            series, settings, first, np.concatenate([validation, test]), test, vintages, newest
        )


def vintages_of(network: Network, day: date, folders: Sequence[Path] = (SHIPPED,)) -> VintageSet:
    """The network's own; for one that has none, the newest in the folders that end before `day`."""
    return network.vintages or VintageSet.ending_before(day, folders)


def by_vintages(
    days: Sequence[date], folders: Sequence[Path]
) -> Iterator[tuple[list[int], VintageSet]]:
    """Which of the days, in time order, have the same newest vintages that end before them; and
    these."""
    sets = [VintageSet.ending_before(day, folders) for day in days]
    for _, group in groupby(range(len(sets)), key=lambda at: sets[at].identity()):
        positions = list(group)
        yield positions, sets[positions[0]]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model's forecasts as it would publish them: quantiles (…, horizon, 21) of log(price / close
    of the origin).

    earlier: (k, horizon, 21), from all unseen origins before tonight, the m of the test part last.
    tonight: (1, horizon, 21).  held_out: the network behind all but `tonight`, None without one.
    has_network: whether the width, or the path, is a network's.
    """

    earlier: Floats
    tonight: Floats
    n_test: int
    held_out: Network | None
    has_network: bool

    @classmethod
    def of(cls, unseen: ScoringData, model: TrainedModel | None) -> Self:
        """The model's candidate or, without a model, the ridge regression's.

        Raises InvalidSetting for a network that has seen the first unseen session.
        """
        series, first, horizon = unseen.series, unseen.first, unseen.settings.horizon
        held_out, published = (model.held_out, model.published) if model else (None, None)
        if held_out and (through := held_out.learned_until) >= np.datetime64(first):
            raise InvalidSetting(
                "the last session of the held-out network",
                str(through),
                f"before the origin {first}",
            )
        newest = np.array([len(series) - 1])
        earlier = quantiles_after(series, unseen.origins, horizon, unseen.vintages, held_out)
        tonight = quantiles_after(series, newest, horizon, unseen.newest, published)
        has_network = all(
            each and (each.forecasts_path or each.width_by != RIDGE)
            for each in (held_out, published)
        )
        return cls(earlier, tonight, len(unseen.test), held_out, has_network)

    @property
    def forecasts_path(self) -> bool:
        """Whether the network forecasts a path, not a width: the tutorial's, of mid prices."""
        return self.held_out is not None and self.held_out.forecasts_path

    def trained_row(self, unseen: ScoringData, leads: Indices) -> Floats | None:
        """(m, leads, 21) of what was trained on the ticker, used or not, on the test part; None if
        nothing was."""
        if not isinstance(self.held_out, TickerNetwork) or self.held_out.fine_tuned is None:
            return None
        forecast = self.held_out.vintages.network_quantiles
        return forecast(unseen.series, unseen.test, leads, self.held_out.fine_tuned)

    @property
    def test(self) -> Floats:
        """(m, horizon, 21) the quantiles from the origins of the test part."""
        return self.earlier[len(self.earlier) - self.n_test :]

    def paths(self, close: Floats) -> Floats:
        """(m, horizon) median prices on the test part.  close: (m,), of its origins."""
        return np.asarray(close[:, None] * np.exp(self.test[..., MEDIAN]), dtype=np.float64)

    def rises(self, step: int) -> Floats:
        """(m,) chances, on the test part, of a price above the origin's close at `step`."""
        return chance_above(self.test[:, step - 1], 0.0)


def quantiles_after(
    series: PriceSeries,
    origins: Indices,
    horizon: int,
    vintages: VintageSet,
    network: Network | None,
) -> Floats:
    """(m, horizon, 21) what would be published after these origins, (m,): a median, and a width
    around it.

    The width is the network's; of one that forecasts none, or without a network, that of the ridge
    regression.
    """
    leads = np.arange(1, horizon + 1)
    median, width = published_median(series, origins, leads), None
    if network is not None:
        median, width = network.forecast(series, origins, leads)
    if width is None:
        width = symmetrised(vintages.simple_quantiles(series, origins, leads))
    return np.asarray(median[..., None] + width, dtype=np.float64)
