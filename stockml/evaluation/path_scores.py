"""Score every forecast beside every baseline, on the same origins, in the same units.

Errors are scaled by the price range of the sessions up to the origin, so only by the past. A figure
that cannot be computed is None, never NaN or infinite. One-step figures are kept apart from those
of whole paths.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from stockml.forecasts.proper_scores import (
    DieboldMariano,
    Interval,
    brier,
    diebold_mariano,
    overlap,
)
from stockml.models.regressions import baseline_paths, mean_step
from stockml.settings import EvaluationSettings
from stockml.storage.arrays import Floats, Indices
from stockml.storage.receipts import record

WHOLE_PATH = ("mse", "half_mse", "rmse", "mae", "mase", "skill")
SKILL_LEADS = (1, 5, 10, 30, 50)
LSTM = "LSTM"  # tonight's challenger
CHAMPION = "champion"
PUBLISHED = "published"  # tonight's, or the champion's, as it would have been published
# the same procedure without one, beside a path of the tutorial's network
WITHOUT_NETWORK = "without network"
LAST_CLOSE = "last close"  # the newest price that everyone knows: the reference of all skill


@dataclass(frozen=True)
class Direction:
    """Is the price higher at the direction's step? `base_rate`: how often it was. `brier`: of the
    chance of a rise."""

    accuracy: float | None
    base_rate: float | None
    brier: float | None


@dataclass(frozen=True)
class PathErrors:
    """Of whole paths, or of first steps: the two do not compare. `half_mse`: scaled; `rmse`, `mae`:
    in price."""

    half_mse: float | None
    rmse: float | None
    mae: float | None
    skill: float | None


@dataclass(frozen=True)
class Score(PathErrors):
    """Whole paths, all leads alike. `mse`: scaled; `mase`: in mean past steps.

    `skill_by_lead` is keyed by the lead as text; `mse_by_lead` has one scaled figure per lead,
    first to last.
    """

    mse: float | None
    mase: float | None
    skill_by_lead: dict[str, float | None]
    mse_by_lead: tuple[float | None, ...]
    direction: Direction


@dataclass(frozen=True)
class Comparison:
    """`name` against `against`: the skill's difference (> 0: better), its 95 % interval, and the
    test of it."""

    name: str
    against: str
    skill_difference: float | None
    interval: Interval | None
    test: DieboldMariano | None

    @property
    def p_value(self) -> float | None:
        """Two-sided p-value of the difference; None with too few origins to test."""
        return self.test.p_value if self.test else None


@record
@dataclass(frozen=True)
class Evaluation:
    """One night's figures. `first` and `last` are the outermost origins (session indices),
    `origins` how many."""

    origins: int
    first: int
    last: int
    horizon: int
    scores: dict[str, Score]
    one_step: dict[str, PathErrors]
    comparisons: tuple[Comparison, ...]

    @property
    def stands_still(self) -> bool:
        """Whether no price moved after any origin: nothing can be scored, and a chance of a rise
        means nothing."""
        return LAST_CLOSE in self.scores and self.scores[LAST_CLOSE].rmse == 0

    def comparison(self, name: str, against: str) -> Comparison | None:
        return next((c for c in self.comparisons if (c.name, c.against) == (name, against)), None)

    def metrics(self) -> dict[str, dict[str, float]]:
        """Figures by forecast (`lstm`) and name (`skill_lead_30`), the same names each night;
        undefined left out."""
        by_forecast: dict[str, dict[str, float | None]] = {}
        for name, score in self.scores.items():
            leads = {f"skill_lead_{lead}": value for lead, value in score.skill_by_lead.items()}
            direction = {
                f"direction_{figure}": value for figure, value in asdict(score.direction).items()
            }
            by_forecast[name] = (
                {figure: getattr(score, figure) for figure in WHOLE_PATH} | leads | direction
            )
        for name, step in self.one_step.items():
            by_forecast[name] |= {
                f"one_step_{figure}": value for figure, value in asdict(step).items()
            }
        for each in self.comparisons:
            figures = {
                "skill_difference": each.skill_difference,
                "skill_low": each.interval.low if each.interval else None,
                "skill_high": each.interval.high if each.interval else None,
                "dm": each.test.statistic if each.test else None,
                "dm_p_value": each.p_value,
            }
            by_forecast[each.name] |= {
                f"vs_{slug(each.against)}_{figure}": value for figure, value in figures.items()
            }
        return {
            slug(name): {figure: value for figure, value in figures.items() if value is not None}
            for name, figures in by_forecast.items()
        }


def evaluate(
    prices: Floats,
    origins: Indices,
    paths: Mapping[str, Floats],
    settings: EvaluationSettings,
    rises: Mapping[str, Floats],
    *,
    close: Floats,
) -> Evaluation:
    """Score the named paths and all baselines on identical origins.

    prices: (n,), what is forecast, through the last outcome.  origins: (m,), ascending, with
    `horizon` sessions after each.  paths: {name: (m, horizon)}, price.  rises: {name: (m,)}, chance
    of a rise at the direction's step. close: (n,), price.  Every path is compared with the last
    close and, where given, with the champion and with what would have been published without a
    network.
    """
    horizon = settings.horizon
    actual = prices[origins[:, None] + np.arange(1, horizon + 1)]
    start = close[origins]
    rolling = pd.Series(prices).rolling(settings.scale_sessions, min_periods=1)
    scale = np.asarray(rolling.max() - rolling.min(), dtype=np.float64)[origins]
    moved = np.cumsum(np.abs(np.diff(prices, prepend=prices[0])))
    step = mean_step(moved, settings.scale_sessions)[origins]
    last_close = np.repeat(start[:, None], horizon, axis=1)
    named = {**paths, LAST_CLOSE: last_close, **baseline_paths(prices, origins, horizon)}
    errors = {name: path - actual for name, path in named.items()}
    squared = {
        name: (error[scale > 0] / scale[scale > 0, None]) ** 2 for name, error in errors.items()
    }
    naive, overlapping = squared[LAST_CLOSE], overlap(origins, horizon)
    at = settings.direction_step - 1
    directions = {
        name: _direction(error[:, at], actual[:, at], start, rises.get(name))
        for name, error in errors.items()
    }
    return Evaluation(
        origins=len(origins),
        first=int(origins[0]),
        last=int(origins[-1]),
        horizon=horizon,
        scores={
            name: _score(error, squared[name], naive, step, directions[name])
            for name, error in errors.items()
        },
        one_step={
            name: PathErrors(**_figures(error[:, :1], squared[name][:, :1], naive[:, :1]))
            for name, error in errors.items()
        },
        comparisons=tuple(
            _compared(name, against, squared, overlapping)
            for name in paths
            for against in (LAST_CLOSE, CHAMPION, WITHOUT_NETWORK)
            if against in errors and against != name
        ),
    )


def skill_over(mse: float | None, naive: float | None) -> float | None:
    """1 − mse / naive; None where the last close made no error, or nothing is known."""
    skill = math.nan if mse is None or not naive else 1 - mse / naive
    return skill if math.isfinite(skill) else None


def slug(name: str) -> str:
    """A forecast's name as part of a metric's: `standard average` becomes `standard_average`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _score(
    error: Floats, squared: Floats, naive: Floats, step: Floats, direction: Direction
) -> Score:
    """error: (m, horizon), price.  squared, naive: (k, horizon), scaled, of origins whose scale is
    above 0."""
    by_lead, moving = _mean_by_lead(squared), step > 0
    skills = [*map(skill_over, by_lead, _mean_by_lead(naive))]
    return Score(
        mse=_mean(squared),
        mase=_mean(np.abs(error[moving]).mean(axis=1) / step[moving]),
        skill_by_lead={str(k): skills[k - 1] for k in SKILL_LEADS if k <= len(skills)},
        mse_by_lead=tuple(by_lead),
        direction=direction,
        **_figures(error, squared, naive),
    )


def _direction(error: Floats, actual: Floats, start: Floats, rise: Floats | None) -> Direction:
    """All (m,), at the direction's step."""
    rose, expected = actual > start, error + actual - start
    # a path that ends where it began says nothing about the direction: the last close has no
    # accuracy
    has_direction = np.abs(expected) > 1e-9 * start
    return Direction(
        accuracy=_mean((expected[has_direction] > 0) == rose[has_direction]),
        base_rate=_mean(rose),
        brier=None if rise is None else _mean(brier(rise, rose)),
    )


def _figures(error: Floats, squared: Floats, naive: Floats) -> dict[str, float | None]:
    """The figures that a whole path and its first step both have."""
    mse = _mean(squared)
    return {
        "half_mse": None if mse is None else mse / 2,
        "rmse": _finite(math.sqrt((error**2).mean())),
        "mae": _mean(np.abs(error)),
        "skill": skill_over(mse, _mean(naive)),
    }


def _compared(
    name: str, against: str, squared: Mapping[str, Floats], overlapping: int
) -> Comparison:
    loss, other, naive = (squared[each].mean(axis=1) for each in (name, against, LAST_CLOSE))
    skill, other_skill = (skill_over(_mean(each), _mean(naive)) for each in (loss, other))
    test = diebold_mariano(loss, other, overlapping)
    if skill is None or other_skill is None:
        return Comparison(name, against, None, None, test)
    difference = skill - other_skill
    return Comparison(name, against, difference, test.around(difference) if test else None, test)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _mean(values: Any) -> float | None:
    return _finite(values.mean()) if len(values) else None


def _mean_by_lead(squared: Floats) -> list[float | None]:
    return (
        [_finite(value) for value in squared.mean(axis=0)]
        if len(squared)
        else [None] * squared.shape[1]
    )
