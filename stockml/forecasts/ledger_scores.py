"""How published forecasts turned out: which are live, their steps beside the outcomes, and the
record so far.

Each is scored against the price that it is of: the close or, of the tutorial's network and in
earlier versions, the mid price. Everything is relative (path / last value against price / price at
the origin), so that a later split changes nothing. Where the origin's price was restated, the last
value replaces it, in today's shares: the path stays as published. Skill and rises are measured from
the last close, relative to the origin's price.

A *live* forecast was published before the market opened on its first session, a *late* one after
that open, and a *backfilled* one once that session's bar was final. Only live forecasts count; the
others are scored apart.

Neighbouring forecasts share most of their sessions, and so their luck. Each number of observations
is therefore shown with the number of *independent* ones: the most forecasts of which no two cover
the same session.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from operator import itemgetter
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from stockml.features.origins import changes_of_units
from stockml.forecasts.forecast import Forecast
from stockml.forecasts.proper_scores import BANDS, brier
from stockml.prices.calendar import Sessions
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats

Timing = Literal["live", "late", "backfilled"]
# a correct 80 % band holds 73 to 87 % of 30 prices three times in four; fewer tell less
MIN_INDEPENDENT = 30
TOO_FEW = "too few to judge"
SAME_PRICE = 1e-9  # relative: prices that were adjusted in two ways differ by rounding

# what is unusual beside a share's own past
USUAL = (0.1, 0.9)  # quantiles of the past widths, between which a width is usual
AT_LEAST, AT_MOST = 20, 250  # past sessions to compare with
RECENT = 60  # forecasts whose 80 % bands are counted
RIGHT = (0.7, 0.9)  # share of closes that such bands should hold


@dataclass(frozen=True)
class RealisedScores:
    """Scores of the forecasts of one timing; a figure is None until something has come due.

    forecasts: sessions with such a forecast.  matured: forecasts whose steps are all past.  steps:
    those that came due. late: sessions whose forecast is not live, so in no live figure.
    directions: forecasts whose direction is known. decided: those of them whose chance of a rise is
    not one half.  independent…: how many share no session. skill: 1 − MSE / MSE(last close) over
    all steps that came due.  coverage: share of them inside the band. direction_accuracy is over
    `decided`, base_rate (the share that rose) and brier over `directions`.
    """

    forecasts: int
    matured: int
    steps: int
    late: int
    directions: int
    skill: float | None
    coverage_50: float | None
    coverage_80: float | None
    coverage_95: float | None
    direction_accuracy: float | None
    base_rate: float | None
    brier: float | None
    decided: int
    independent: int
    independent_directions: int
    independent_decided: int

    def metrics(self, prefix: str = "live/") -> dict[str, float]:
        """`live/skill`, `live/coverage_80`, `live/matured`, …, without figures that are None."""
        return {
            prefix + name: float(value) for name, value in vars(self).items() if value is not None
        }

    def observations(self, figure: str) -> tuple[int, int]:
        """How many observations the figure is made of, and how many of them are independent."""
        if figure == "direction_accuracy":
            return self.decided, self.independent_decided
        if figure in ("base_rate", "brier"):
            return self.directions, self.independent_directions
        return self.steps, self.independent


def first_known(figures: Mapping[str, float], name: str) -> float | None:
    """The live score against prices as first known; `live/…` itself where no restatement changed
    it."""
    return figures.get(f"live/first_known_{name}", figures.get(f"live/{name}"))


FIGURES = (
    "skill",
    *(f"coverage_{band}" for band in BANDS),
    "direction_accuracy",
    "base_rate",
    "brier",
)


@dataclass(frozen=True)
class RestatedBar:
    """A bar that scores rest on and that was changed after it was first recorded; prices in today's
    shares.

    price: which one is shown, the mid price where that changes an outcome, else the close.  steps:
    how many scored steps have the restated close as their origin's, or the restated price as their
    outcome.
    """

    session: date
    first_known: float
    restated: float
    steps: int
    price: Literal["mid", "close"] = "mid"


def with_independent(value: str, independent: int) -> str:
    """Append the number of independent observations to a figure, and TOO_FEW where it is below
    30."""
    few = f", {TOO_FEW}" if independent < MIN_INDEPENDENT else ""
    return f"{value} ({independent} independent{few})"


def independent_count(stretches: Iterable[tuple[Any, Any]]) -> int:
    """The most stretches (origin, last session covered] of which no two share a session: greedy, by
    earliest end."""
    count, ended = 0, None
    for start, end in sorted(stretches, key=itemgetter(1)):
        if ended is None or start >= ended:
            count, ended = count + 1, end
    return count


def timing_of(published_at: datetime, first_due: date, sessions: Sessions) -> Timing:
    """Timing of a forecast, by its publishing time (with UTC offset) and the exchange's hours on
    its first session."""
    if published_at < sessions.open_time(first_due):
        return "live"
    return "late" if published_at < sessions.final_time(first_due) else "backfilled"


def one_forecast_per_session(steps: pd.DataFrame, sessions: Sessions) -> pd.DataFrame:
    """Choose one forecast per session, and add its `timing`: the last live one, else the last late
    one, else the last.

    So a night run again the same evening replaces its forecast; run again weeks later, when part of
    the outcome is known, it does not.
    """
    entries = steps[steps["lead"] == 1].copy()
    moments = zip(entries["published_at"], entries["due"], strict=True)
    timings = [timing_of(at.to_pydatetime(), due.date(), sessions) for at, due in moments]
    entries["timing"] = pd.Categorical(timings, categories=get_args(Timing)[::-1], ordered=True)
    entries = entries.sort_values(["session", "timing", "published_at"], kind="stable")
    chosen = (
        entries.drop_duplicates("session", keep="last").set_index("key")["timing"].astype(object)
    )
    counting = steps[steps["key"].isin(chosen.index)]
    return counting.assign(timing=counting["key"].map(chosen)).sort_values(["session", "lead"])


def scored_steps(
    counting: pd.DataFrame, series: PriceSeries, units: "pd.Series[float] | None" = None
) -> pd.DataFrame:
    """The counting steps that came due, with their outcomes.  series: split-adjusted, any length.

    units: as for `origin_prices`.  Added columns, relative to the origin's price: start (its
    close), actual, error, naive_error; the price in the origin's shares: reached; inside_50/80/95;
    matured: whether every step of its forecast is past. Steps from or to a session without a bar,
    or across a change of units, are left out.
    """
    close = _by_session(series, series.close)
    origin = origin_prices(counting, series, units)
    actual, start = (
        _prices_on(counting["due"], counting, series) / origin,
        counting["session"].map(close) / origin,
    )
    reached = actual * counting["last_value"]
    scored = counting.assign(
        start=start,
        actual=actual,
        error=counting["path"] / counting["last_value"] - actual,
        naive_error=start - actual,
        reached=reached,
        matured=counting.groupby("key")["due"].transform("max") <= close.index.max(),
        **{
            f"inside_{band}": reached.between(counting[f"low_{band}"], counting[f"high_{band}"])
            for band in BANDS
        },
    )
    across = [_lies_across(scored, day) for day in changes_of_units(series)]
    return scored[actual.notna() & ~np.logical_or.reduce(across)].reset_index(drop=True)


def origin_prices(
    counting: pd.DataFrame, series: PriceSeries, units: "pd.Series[float] | None" = None
) -> "pd.Series[float]":
    """The price that each step was forecast from, in the series' units; NaN where it has no bar of
    the origin.

    units: by `BarStore.restated_price_factors`, today's value of one unit as traded, since a
    restated price is not the one forecast from. None if no origin was restated.
    """
    now = _prices_on(counting["session"], counting, series)
    then = now if units is None else counting["session"].map(units) * counting["last_value"]
    return now.where(now.isna() | then.isna(), then)


def _prices_on(
    days: "pd.Series[Any]", counting: pd.DataFrame, series: PriceSeries
) -> "pd.Series[float]":
    """The series' price on each step's day of `days`, the close or the mid price: what the forecast
    is of."""
    closes, mids = (days.map(_by_session(series, prices)) for prices in (series.close, series.mid))
    return closes.where(counting["price"] == "close", mids)


def last_closes(
    steps: pd.DataFrame, series: PriceSeries, units: "pd.Series[float] | None" = None
) -> "pd.Series[float]":
    """The close that each step was forecast from, in the origin's shares; NaN and units as for
    `origin_prices`."""
    close = steps["session"].map(_by_session(series, series.close))
    return close / origin_prices(steps, series, units) * steps["last_value"]


def steps_across(counting: pd.DataFrame, series: PriceSeries) -> dict[date, int]:
    """How many steps that came due are not scored as they cross a change of units, by its first
    session."""
    due = counting[counting["due"] <= series.sessions[-1]]
    counts = {day.item(): int(_lies_across(due, day).sum()) for day in changes_of_units(series)}
    return {day: steps for day, steps in counts.items() if steps}


def steps_without_bar(counting: pd.DataFrame, series: PriceSeries) -> dict[date, int]:
    """How many steps that came due are not scored, by the session without a valid bar: their
    outcome's or origin's."""
    due = counting[counting["due"] <= series.sessions[-1]]
    lacks = {
        name: ~due[name].isin(series.sessions.astype("datetime64[us]"))
        for name in ("due", "session")
    }
    days = due["due"].where(lacks["due"], due["session"])[lacks["due"] | lacks["session"]]
    return {day.date(): int(steps) for day, steps in days.value_counts().sort_index().items()}


def _lies_across(steps: pd.DataFrame, day: np.datetime64) -> "pd.Series[bool]":
    return (steps["session"] < day) & (steps["due"] >= day)


def _by_session(series: PriceSeries, prices: Floats) -> "pd.Series[float]":
    return pd.Series(prices, index=pd.DatetimeIndex(series.sessions.astype("datetime64[us]")))


def scores_of(timing: Timing, counting: pd.DataFrame, scored: pd.DataFrame) -> RealisedScores:
    """Score one timing.  counting: the steps that count.  scored: those of them that came due."""
    not_live = int(counting.loc[counting["timing"] != "live", "key"].nunique())
    counting, scored = (steps[steps["timing"] == timing] for steps in (counting, scored))
    due = scored[scored["lead"] == scored["direction_step"]]
    rose = due["actual"] > due["start"]
    # a chance of exactly one half predicts no direction
    decided = due["probability_of_rise"] != 0.5
    right = (due["probability_of_rise"] > 0.5) == rose
    naive = float((scored["naive_error"] ** 2).sum())
    coverages: dict[str, Any] = {
        f"coverage_{band}": _mean(scored[f"inside_{band}"]) for band in BANDS
    }
    return RealisedScores(
        forecasts=int(counting["key"].nunique()),
        matured=int(scored.loc[scored["matured"], "key"].nunique()),
        steps=len(scored),
        late=not_live,
        directions=len(due),
        skill=1 - float((scored["error"] ** 2).sum()) / naive if naive > 0 else None,
        direction_accuracy=_mean(right[decided]),
        base_rate=_mean(rose),
        brier=_mean(brier(due["probability_of_rise"].to_numpy(), rose.to_numpy())),
        decided=int(decided.sum()),
        independent=_independent(scored),
        independent_directions=_independent(due),
        independent_decided=_independent(due[decided]),
        **coverages,
    )


def _independent(scored: pd.DataFrame) -> int:
    """How many of these steps' forecasts share no session; each covers its origin to its last step
    here."""
    ends = scored.groupby(["key", "session"])["due"].max()
    return independent_count((session, end) for (_, session), end in ends.items())


def _mean(values: "pd.Series[float]") -> float | None:
    return float(values.mean()) if len(values) else None


def restated_bars(
    counting: pd.DataFrame, first_known: PriceSeries, series: PriceSeries
) -> tuple[RestatedBar, ...]:
    """The bars whose restatement changes the error of a scored step, oldest first; both series
    adjusted alike."""
    bars, scored = dict[date, RestatedBar](), scored_steps(counting, series)
    of_closes = scored["price"] == "close"
    # of an origin, the close counts, from which the last close's error is measured
    closes = pd.concat([scored["session"], scored["due"][of_closes]])
    uses: dict[Literal["mid", "close"], pd.Series[Any]] = {
        "close": closes,
        "mid": scored["due"][~of_closes],
    }
    for price, days in uses.items():
        first, now = (_by_session(each, getattr(each, price)) for each in (first_known, series))
        counts, moved = days.value_counts(), (first / now - 1).abs() > SAME_PRICE
        for day in moved.index[moved].intersection(counts.index):
            steps = int(counts[day]) + (bars[day.date()].steps if day.date() in bars else 0)
            bars[day.date()] = RestatedBar(
                day.date(), float(first[day]), float(now[day]), steps, price
            )
    return tuple(bars[day] for day in sorted(bars))


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
