"""Bands round a path, and the chance of a rise: how wrong the path was on sessions it had not learned from.

Split conformal calibration (Vovk et al. 2005; Lei et al. 2018) of the logarithmic error, in units of the current
volatility and of the lead: the widths grow with both. One calibrated distribution answers both questions.

A calibration part is one stretch of one market, calm or wild. What is found on it is therefore moved part of the way
(in logarithms) to what is usual, by the last value's own ratio of the two: half of the way for a part of 1,000
sessions, further for a shorter one. What is usual is seen in all the years before; where those are few, in a typical
share's. And the centre is moved so that path and shift together drift as the price did over all those years.

Never here: a look at the test part, or at the networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stockml.errors import TooFewBars
from stockml.features.windows import known_outcomes
from stockml.forecasts.error_scaling import FLOOR, absolute_volatility, in_units, leads_of
from stockml.forecasts.reference_errors import (
    FEWEST_ORIGINS,
    LEVELS,
    ReferenceErrors,
    drift_of,
    profile_of,
    smooth,
    widening,
)
from stockml.storage.arrays import Floats, Indices

COVERAGES = (0.5, 0.8, 0.95)
REFERENCE_SESSIONS = 1_000  # what is usual weighs as much as so many sessions of calibration
FURTHEST = 4.0  # a share that was halted all through its calibration part says nothing about the ratio


@dataclass(frozen=True)
class ConformalIntervals:
    """A calibrated distribution of log(price / path).

    Its centre is tilt · volatility · lead; its unit, at each lead, volatility · √lead · shape[lead].  It is symmetric:
    errors[i] units on either side of the centre hold the price with the chance levels[i].
    shape: (horizon,).  levels, errors: ascending.  origins: how many it was calibrated on.
    """

    shape: tuple[float, ...]
    levels: tuple[float, ...]
    errors: tuple[float, ...]
    tilt: float
    origins: int

    @classmethod
    def fit(cls, mid: Floats, origins: Indices, paths: Floats) -> "ConformalIntervals":
        """Calibrate on origins that the path's model has not learned from, and whose outcomes are known.

        mid: (n,), price; nothing after the last origin's last outcome is looked at.  origins: (m,), ascending session
        indices.  paths: (m, horizon), price.  Raises TooFewBars.
        """
        if len(origins) < FEWEST_ORIGINS:
            raise TooFewBars(FEWEST_ORIGINS, len(origins), "calibrating the intervals")
        horizon = paths.shape[1]
        known_outcomes(mid, origins, horizon)
        known = mid[: origins[-1] + horizon + 1]
        drift, leads = drift_of(known), leads_of(horizon)
        moved = in_units(known, origins, paths / known[origins, None])
        tilt = drift - float((moved * np.sqrt(leads)).sum(axis=1).mean() / leads.sum())
        actual = in_units(known, origins, known_outcomes(known, origins, horizon) / known[origins, None])
        found = np.abs(actual - moved - tilt * np.sqrt(leads))
        here = np.abs(actual - drift * np.sqrt(leads))
        usual = ReferenceErrors.of(known, origins[0] - horizon, drift, horizon)
        weight = REFERENCE_SESSIONS / (REFERENCE_SESSIONS + origins[-1] - origins[0] + horizon)
        shape = widening(usual.profile * smooth(profile_of(found) / profile_of(here)))
        ratio = np.clip(usual.quantiles / np.maximum(np.quantile(here, LEVELS), FLOOR), 1 / FURTHEST, FURTHEST)
        errors = np.maximum.accumulate(np.quantile(found / shape, LEVELS) * ratio**weight)
        return cls(tuple(shape.tolist()), tuple(LEVELS.tolist()), tuple(errors.tolist()), tilt, len(origins))

    @property
    def horizon(self) -> int:
        return len(self.shape)

    def quantiles(self, path: Floats, volatility: Floats | float, coverage: float) -> tuple[Floats, Floats]:
        """The band that holds the price with the chance `coverage`.

        path: (m, horizon) or (horizon,), price.  volatility: at the origins, (m,) or one number.  Returns low, high.
        """
        centre, unit = self._centre_and_unit(volatility)
        width = unit * np.interp(coverage, self.levels, self.errors)
        return path * np.exp(centre - width), path * np.exp(centre + width)

    def quantile_path(self, path: Floats, volatility: Floats | float, levels: Floats) -> Floats:
        """(m, horizon, levels) prices that are not exceeded with these chances.  levels: (levels,), 0 to 1."""
        centre, unit = self._centre_and_unit(volatility)
        sides = np.sign(levels - 0.5) * np.interp(np.abs(2 * levels - 1), self.levels, self.errors)
        return np.asarray(path[..., None] * np.exp(centre[..., None] + unit[..., None] * sides), dtype=np.float64)

    def probability_of_rise(
        self, path: Floats, volatility: Floats | float, last_value: Floats | float, step: int
    ) -> Floats:
        """Chance that the price at `step` is above `last_value`.  path: (m, horizon).  Returns (m,), or () for one."""
        centre, unit = (each[..., step - 1] for each in self._centre_and_unit(volatility))
        above = (np.log(path[..., step - 1] / np.asarray(last_value)) + centre) / unit
        nearer = np.interp(np.abs(above), self.errors, self.levels)
        return np.asarray(0.5 + np.sign(above) * nearer / 2, dtype=np.float64)

    def _centre_and_unit(self, volatility: Floats | float) -> tuple[Floats, Floats]:
        current, leads = np.asarray(volatility, dtype=np.float64)[..., None], leads_of(self.horizon)
        return self.tilt * current * leads, current * np.sqrt(leads) * np.array(self.shape)


@dataclass(frozen=True)
class BandScore:
    """How often the price was inside, pooled and by lead, and the interval score (lower is better), in price."""

    coverage: float
    coverage_by_lead: tuple[float, ...]
    interval_score: float


@dataclass(frozen=True)
class BandScores:
    """The bands on origins they were not calibrated on, keyed by the nominal percentage: "50", "80", "95"."""

    bands: dict[str, BandScore]

    def metrics(self) -> dict[str, float]:
        """`intervals/coverage_80`, `intervals/interval_score_80`, and so on."""
        coverages = {f"intervals/coverage_{name}": score.coverage for name, score in self.bands.items()}
        return coverages | {f"intervals/interval_score_{name}": s.interval_score for name, s in self.bands.items()}


def score_bands(bands: ConformalIntervals, mid: Floats, origins: Indices, paths: Floats) -> BandScores:
    """Coverage and interval score (Gneiting and Raftery 2007) of the three bands.

    Arguments as in `ConformalIntervals.fit`.
    """
    current = absolute_volatility(mid)[origins]
    limits = {coverage: bands.quantiles(paths, current, coverage) for coverage in COVERAGES}
    return score_limits(limits, known_outcomes(mid, origins, bands.horizon))


def score_limits(limits: Mapping[float, tuple[Floats, Floats]], actual: Floats) -> BandScores:
    """The same of any bands.  limits: low and high by coverage, (m, horizon), price.  actual: (m, horizon), price."""
    scores = {}
    for coverage, (low, high) in limits.items():
        inside = (low <= actual) & (actual <= high)
        missed = np.maximum(low - actual, 0) + np.maximum(actual - high, 0)
        scores[percent(coverage)] = BandScore(
            coverage=float(inside.mean()),
            coverage_by_lead=tuple(inside.mean(axis=0).tolist()),
            interval_score=float((high - low + 2 / (1 - coverage) * missed).mean()),
        )
    return BandScores(scores)


def percent(coverage: float) -> str:
    """0.8 as "80"."""
    return f"{100 * coverage:.0f}"
