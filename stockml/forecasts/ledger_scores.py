"""How published forecasts turned out: which of them count, their steps beside what happened, and the record so far.

All in relative terms (path / last value against price / price at the origin), so that a later split changes nothing.

Never here: files.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stockml.forecasts.conformal import COVERAGES, percent
from stockml.prices.series import PriceSeries

IN_TIME = pd.Timedelta(hours=12)  # before New York opens, and after any night's run that began the evening before
BANDS = tuple(percent(coverage) for coverage in COVERAGES)


@dataclass(frozen=True)
class LiveScores:
    """How what was published turned out; None until something came due.

    forecasts: sessions with a forecast.  matured: those of which every step is past.  steps: steps that came due.
    late: forecasts published only after noon UTC of their first step's day (a night that was caught up).
    skill: 1 − MSE / MSE(last value) over all steps that came due.  coverage: share of them inside the 80 % band.
    directions: forecasts whose direction is known; direction_accuracy, base_rate and brier are over these.
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

    def metrics(self) -> dict[str, float]:
        """`live/skill`, `live/coverage_80`, `live/matured`, …; what is not known yet is left out."""
        return {f"live/{name}": float(value) for name, value in vars(self).items() if value is not None}


def counting_steps(steps: pd.DataFrame) -> pd.DataFrame:
    """One forecast a session: the last that was published in time, by noon UTC of its first step's day, else the last.

    So a night that is run again the same evening replaces its forecast, and one that is run again weeks later, when
    part of the outcome is known, does not.
    """
    entries = steps[steps["lead"] == 1].copy()
    entries["late"] = entries["published_at"].dt.tz_localize(None) > entries["due"] + IN_TIME
    entries["order"] = np.arange(len(entries))
    entries = entries.sort_values(["session", "late", "published_at", "order"], ascending=[True, False, True, True])
    chosen = entries.drop_duplicates("session", keep="last").set_index("key")["late"]
    counting = steps[steps["key"].isin(chosen.index)]
    return counting.assign(late=counting["key"].map(chosen).astype(bool)).sort_values(["session", "lead"])


def scored_steps(counting: pd.DataFrame, series: PriceSeries) -> pd.DataFrame:
    """The counting steps that came due, beside what happened.  series: split-adjusted, any length.

    Added columns, all relative to the origin's price: forecast, actual, error, naive_error, and inside_50/80/95;
    matured: whether every step of its forecast is past.  A session without a bar is left out, never invented.
    """
    price = pd.Series(series.mid, index=pd.DatetimeIndex(series.sessions.astype("datetime64[us]")))
    actual = counting["due"].map(price) / counting["session"].map(price)
    last_due = counting.groupby("key")["due"].transform("max")
    newest = price.index[-1] if len(price) else pd.Timestamp.min
    relative = counting["path"] / counting["last_value"]
    found = counting.assign(
        forecast=relative,
        actual=actual,
        error=relative - actual,
        naive_error=1 - actual,
        matured=last_due <= newest,
        **{f"inside_{band}": _inside(counting, actual, band) for band in BANDS},
    )
    return found[actual.notna()].reset_index(drop=True)


def _inside(counting: pd.DataFrame, actual: "pd.Series[float]", band: str) -> "pd.Series[bool]":
    price = actual * counting["last_value"]
    return (counting[f"low_{band}"] <= price) & (price <= counting[f"high_{band}"])


def live_scores(counting: pd.DataFrame, scored: pd.DataFrame) -> LiveScores:
    """The record so far, from the steps that count and those of them that came due."""
    due = scored[scored["lead"] == scored["direction_step"]]
    rose = due["actual"] > 1
    # a chance of exactly one half says neither
    said = due["probability_of_rise"] != 0.5
    right = (due["probability_of_rise"] > 0.5) == rose
    naive = float((scored["naive_error"] ** 2).sum())
    coverages: Mapping[str, float | None] = {f"coverage_{b}": _mean(scored[f"inside_{b}"]) for b in BANDS}
    return LiveScores(
        forecasts=int(counting["key"].nunique()),
        matured=int(scored.loc[scored["matured"], "key"].nunique()),
        steps=len(scored),
        late=int(counting.loc[counting["late"], "key"].nunique()),
        directions=len(due),
        skill=1 - float((scored["error"] ** 2).sum()) / naive if naive > 0 else None,
        direction_accuracy=_mean(right[said]),
        base_rate=_mean(rose),
        brier=_mean((due["probability_of_rise"] - rose) ** 2),
        **coverages,
    )


def _mean(values: "pd.Series[float]") -> float | None:
    return float(values.mean()) if len(values) else None
