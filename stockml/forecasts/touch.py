"""Chances that a session's low touches a barrier below the last close, by the published
distribution.

Reflection principle: of the paths without drift that touch a barrier, half end below it, so that a
touch is twice as likely as an end below (Karatzas and Shreve 1991, section 2.6). Prices jump over
barriers at night, so that a little less than half of them return: `REFLECTION` is 1.95, not 2.
"""

from dataclasses import dataclass

import numpy as np

from stockml.features.segments import segment_start
from stockml.forecasts.outlook import chance_above
from stockml.models.lead_grid import symmetrised
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

TOUCH_SESSIONS = 20
FALLS = (0.05, 0.1)  # of the last close
# of 1.8, 1.85 … 2 that with the best Brier score on the tickers learned from, in the eras from
# 1995-09 to 2011-09
REFLECTION = 1.95
PAST_WINDOWS = 2_500  # ten years, as in the published comparisons
MIN_WINDOWS = 250  # fewer say little of the share


@dataclass(frozen=True)
class Touch:
    """Whether the lowest low of the next `sessions` sessions is `fall` (0.05: 5 %) or more below
    the last close.

    chance: by the published distribution.  own_frequency: share of the past windows, at most 2,500,
    in which it was; None with fewer than 250.  skill: 1 − Brier score / that of the own frequency
    until then, over `origins` earlier forecasts; None where either outcome is too rare among them
    to tell.  happened: share of these origins.

    >>> Touch(20, 0.05, 0.3, own_frequency=0.4, skill=-0.01, origins=150, happened=0.38).shown
    0.4
    """

    sessions: int
    fall: float
    chance: float
    own_frequency: float | None
    skill: float | None
    origins: int
    happened: float | None

    @property
    def is_usual(self) -> bool:
        """Whether the share's own frequency is shown, as the chance has scored no better."""
        return self.own_frequency is not None and self.skill is not None and self.skill <= 0

    @property
    def shown(self) -> float:
        """The chance, or the share's own frequency."""
        if self.own_frequency is not None and self.is_usual:
            return self.own_frequency
        return self.chance


def touch_chance(quantiles: Floats, fall: float) -> Floats:
    """(…) chances, 0 to 1, that a low by the quantiles' lead is `fall` or more below the close.

    min(1, 1.95 F(ln(1 − fall))).  quantiles: (…, 21), rising, at LEVELS, of log(close at the lead /
    close); F is their distribution, symmetrised.  fall: 0 to 1, exclusive.

    >>> float(touch_chance(np.zeros(21), 0.05))  # a price that stands still
    0.0
    """
    ends_below = 1 - chance_above(symmetrised(quantiles), float(np.log1p(-fall)))
    return np.asarray(np.minimum(REFLECTION * ends_below, 1.0), dtype=np.float64)


def lowest_lows(series: PriceSeries, sessions: int = TOUCH_SESSIONS) -> Floats:
    """(n,) log(lowest low of the next `sessions` sessions / close); NaN where unknown or across
    segments."""
    found = np.full(len(series), np.nan)
    at = np.arange(len(series) - sessions)
    if len(at):
        windows = np.lib.stride_tricks.sliding_window_view(series.low[1:], sessions)
        joined = segment_start(series, at) == segment_start(series, at + sessions)
        found[at[joined]] = np.log(windows.min(axis=1) / series.close[at])[joined]
    return found


def own_frequencies(
    lows: Floats, origins: Indices, fall: float, sessions: int = TOUCH_SESSIONS
) -> Floats:
    """(m,) share of the newest 2,500 windows over by each origin that touched; NaN with fewer than
    250 known.

    lows: (n,), of `lowest_lows` over `sessions`.  origins: (m,), session indices.
    """
    known = np.isfinite(lows)
    touched = known & (lows <= np.log1p(-fall))
    counts, hits = (np.concatenate([[0], np.cumsum(each)]) for each in (known, touched))
    stop = np.maximum(origins - sessions + 1, 0)
    start = np.maximum(stop - PAST_WINDOWS, 0)
    windows = counts[stop] - counts[start]
    share = (hits[stop] - hits[start]) / np.maximum(windows, 1)
    return np.asarray(np.where(windows >= MIN_WINDOWS, share, np.nan), dtype=np.float64)
