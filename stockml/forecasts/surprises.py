"""What is unusual tonight beside a share's own past: a width, a close outside its band, the bands'
coverage."""

import math
from dataclasses import dataclass
from datetime import date
from typing import Literal

import pandas as pd

from stockml.forecasts.forecast import Forecast

USUAL = (0.1, 0.9)  # quantiles of the past widths, between which a width is usual
AT_LEAST, AT_MOST = 20, 250  # past sessions to compare with
RECENT = 60  # forecasts whose 80 % bands are counted
RIGHT = (0.7, 0.9)  # share of closes that such bands should hold


@dataclass(frozen=True)
class UnusualWidth:
    """The width of the next session's 80 % band, log(high / low), outside `low` to `high`, the
    usual."""

    width: float
    low: float
    high: float

    @property
    def side(self) -> Literal["wide", "narrow"]:
        return "wide" if self.width > self.high else "narrow"


@dataclass(frozen=True)
class MissedBand:
    """A close, in the shares of its forecast, outside the 95 % band that was published after
    `origin`."""

    origin: date
    close: float
    low: float
    high: float


def unusual_width(before: pd.DataFrame, forecast: Forecast) -> UnusualWidth | None:
    """The forecast's width if it is unusual and that of the session before was not, on the same
    side; else None.

    before: the ledger's steps; only those of earlier sessions count.
    """
    band = forecast.band(80)
    past = _widths(before[before["session"] < pd.Timestamp(forecast.origin)])
    found = _unusual(math.log(band.high[0] / band.low[0]), past)
    if found is None:
        return None
    last = _unusual(past[-1], past[:-1])
    return None if last and last.side == found.side else found


def missed_band(
    before: pd.DataFrame, closes: "pd.Series[float]", session: date
) -> MissedBand | None:
    """The band for `session` of the newest forecast before it, if the close fell outside; else
    None.

    before: the ledger's steps.  closes: split-adjusted, by session; as moves, so that a split
    misses no band.
    """
    day = pd.Timestamp(session)
    earlier = before[before["session"] < day]
    last = earlier[earlier["session"] == earlier["session"].max()]
    due = last[last["due"] == day]
    if due.empty or not {day, due["session"].iloc[-1]} <= {*closes.index}:
        return None
    row = due.iloc[-1]
    close = float(row["last_value"] * closes[day] / closes[row["session"]])
    if row["low_95"] <= close <= row["high_95"]:
        return None
    return MissedBand(row["session"].date(), close, float(row["low_95"]), float(row["high_95"]))


def wrong_coverage(before: pd.DataFrame, closes: "pd.Series[float]", session: date) -> float | None:
    """The share of the newest RECENT forecasts whose 80 % band held the next close, if it left
    RIGHT with `session`'s.

    before, closes: as for `missed_band`.
    """
    first = _next_steps(before)
    reached = first["last_value"] * first["due"].map(closes) / first["session"].map(closes)
    is_due = reached.notna() & (first["due"] <= pd.Timestamp(session))
    inside = reached.between(first["low_80"], first["high_80"])[is_due].tail(RECENT + 1)
    if len(inside) <= RECENT or first["due"][is_due].iloc[-1] != pd.Timestamp(session):
        return None
    was, now = (float(each.mean()) for each in (inside.iloc[:-1], inside.iloc[1:]))
    (low, high) = RIGHT
    return now if low <= was <= high and not low <= now <= high else None


def _next_steps(steps: pd.DataFrame) -> pd.DataFrame:
    """The first step of each session's newest forecast, oldest first."""
    first = steps[steps["lead"] == 1].sort_values(["session", "published_at"], kind="stable")
    return first.drop_duplicates("session", keep="last")


def _widths(steps: pd.DataFrame) -> list[float]:
    """The next session's width of each session's newest forecast, oldest first."""
    bands = _next_steps(steps)
    ratios = (bands["high_80"] / bands["low_80"]).tolist()
    return [math.log(ratio) for ratio in ratios]


def _unusual(width: float, past: list[float]) -> UnusualWidth | None:
    """The width if it lies outside the usual of the newest past ones; None too if these are too
    few."""
    newest = pd.Series(past[-AT_MOST:])
    if len(newest) < AT_LEAST:
        return None
    low, high = newest.quantile([*USUAL])
    return None if low <= width <= high else UnusualWidth(width, float(low), float(high))
