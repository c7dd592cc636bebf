"""Score every forecast beside every baseline, on the same origins, in the same units.

Errors are scaled by the price range of the sessions up to the origin, so only by the past. A figure that cannot be
computed is None, never NaN or infinite. One-step figures are kept apart from those of whole paths.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stockml.evaluation.metrics import Comparison, Direction, Evaluation, OneStep, Score, skill_over
from stockml.evaluation.significance import diebold_mariano, overlap
from stockml.features.origins import known_outcomes
from stockml.forecasts.proper_scores import brier
from stockml.models.baselines import baseline_paths, mean_step
from stockml.settings import EvaluationSettings
from stockml.storage.arrays import Floats, Indices

SKILL_LEADS = (1, 5, 10, 30, 50)
LSTM = "LSTM"  # tonight's challenger
CHAMPION = "champion"
PUBLISHED = "published"  # tonight's, or the champion's, as it would have been published
WITHOUT_NETWORK = "without network"  # the same procedure without one
TREND_PRIOR = "trend prior"
LAST_CLOSE = "last close"  # the newest price that everyone knows: the reference of all skill


def evaluate(
    mid: Floats,
    origins: Indices,
    paths: Mapping[str, Floats],
    settings: EvaluationSettings,
    rises: Mapping[str, Floats],
    *,
    close: Floats,
) -> Evaluation:
    """Score the named paths and all baselines on identical origins.

    mid: (n,), price, through the last outcome.  origins: (m,), ascending, each with `horizon` sessions after it.
    paths: {name: (m, horizon)}, price.  rises: {name: (m,)}, chance of a rise at the direction's step.  close: (n,),
    price.  Every path is compared with the last close and, where given, with the champion and with what would have been
    published without a network.  Raises TooFewBars, and ValueError for paths of another shape.
    """
    horizon = settings.horizon
    actual = known_outcomes(mid, origins, horizon)
    for name, path in paths.items():
        if path.shape != actual.shape:
            raise ValueError(f"expected {name}'s paths as {actual.shape}, found {path.shape}")
    start, rolling = close[origins], pd.Series(mid).rolling(settings.scale_sessions, min_periods=1)
    scale = np.asarray(rolling.max() - rolling.min(), dtype=np.float64)[origins]
    step = mean_step(np.cumsum(np.abs(np.diff(mid, prepend=mid[0]))), settings.scale_sessions)[origins]
    named = {**paths, LAST_CLOSE: np.repeat(start[:, None], horizon, axis=1), **baseline_paths(mid, origins, horizon)}
    errors = {name: path - actual for name, path in named.items()}
    squared = {name: (error[scale > 0] / scale[scale > 0, None]) ** 2 for name, error in errors.items()}
    naive, overlapping = squared[LAST_CLOSE], overlap(origins, horizon)
    at = settings.direction_step - 1
    directions = {
        name: _direction(error[:, at], actual[:, at], start, rises.get(name)) for name, error in errors.items()
    }
    return Evaluation(
        origins=len(origins),
        first=int(origins[0]),
        last=int(origins[-1]),
        horizon=horizon,
        scores={name: _score(error, squared[name], naive, step, directions[name]) for name, error in errors.items()},
        one_step={
            name: OneStep(**_figures(error[:, :1], squared[name][:, :1], naive[:, :1]))
            for name, error in errors.items()
        },
        comparisons=tuple(
            _compared(name, against, squared, overlapping)
            for name in paths
            for against in (LAST_CLOSE, CHAMPION, WITHOUT_NETWORK)
            if against in errors and against != name
        ),
    )


def _score(error: Floats, squared: Floats, naive: Floats, step: Floats, direction: Direction) -> Score:
    """error: (m, horizon), price.  squared, naive: (k, horizon), scaled, of origins whose scale is above 0."""
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
    rose, said = actual > start, error + actual - start
    # a path that ends where it began says nothing about the direction: the last close has no accuracy
    speaks = np.abs(said) > 1e-9 * start
    return Direction(
        accuracy=_mean((said[speaks] > 0) == rose[speaks]),
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


def _compared(name: str, against: str, squared: Mapping[str, Floats], overlapping: int) -> Comparison:
    loss, other, naive = (squared[each].mean(axis=1) for each in (name, against, LAST_CLOSE))
    skill, other_skill = (skill_over(_mean(each), _mean(naive)) for each in (loss, other))
    test = diebold_mariano(loss, other, overlapping)
    if skill is None or other_skill is None:
        return Comparison(name, against, None, None, test)
    more = skill - other_skill
    return Comparison(name, against, more, test.around(more) if test else None, test)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _mean(values: Any) -> float | None:
    return _finite(values.mean()) if len(values) else None


def _mean_by_lead(squared: Floats) -> list[float | None]:
    return [_finite(value) for value in squared.mean(axis=0)] if len(squared) else [None] * squared.shape[1]
