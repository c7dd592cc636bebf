"""Past sessions replayed night by night: what would each retraining policy have earned, and cost?

A night sees the series up to its own session and nothing else; what it published is scored once all nights are over.
Every policy starts with a full training; the model of one night is the champion of the next.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stockml.errors import TooFewBars
from stockml.evaluation.evaluate import LSTM, evaluate
from stockml.features.windows import minimum_sessions, origins
from stockml.models.retrain_policy import decide
from stockml.models.trained_model import TrainedModel
from stockml.prices.series import PriceSeries
from stockml.settings import Mode, Settings
from stockml.storage.arrays import Floats, Indices
from stockml.training.train import facts_about, train


@dataclass(frozen=True)
class PolicyScore:
    """One policy over all nights.

    skill: of the models' own paths, over the last close. test_skill: the held-out network's on its own test part, mean
    over the nights. seconds, slowest: of training a night, mean and maximum, without the first full training.
    """

    ticker: str
    policy: Mode
    nights: int
    skill: float | None
    test_skill: float
    seconds: float
    slowest: float
    retrained: int
    fine_tuned: int
    kept: int


def nights_of(series: PriceSeries, settings: Settings, count: int, every: int = 1) -> Indices:
    """(count,) the newest origins, `every` sessions apart, whose whole outcome the series holds. Raises TooFewBars."""
    horizon = settings.evaluation.horizon
    first = len(series) - horizon - 1 - (count - 1) * every
    needed = minimum_sessions(settings.evaluation)
    if first + 1 < needed:
        raise TooFewBars(
            len(series) + needed - first - 1, len(series), f"{count} nights before which a model can learn"
        )
    return np.arange(first, len(series) - horizon, every)


def backtest(
    ticker: str,
    series: PriceSeries,
    settings: Settings,
    policy: Mode,
    nights: Indices,
    *,
    folder: Path,
    on_night: Callable[[int, TrainedModel], None] | None = None,
) -> PolicyScore:
    """Replay `nights`, ascending, under one policy. `folder` holds the two newest models while it works."""
    paths, skills, seconds, modes = [], [], [], Counter[str]()
    for night, (model, took) in zip(nights, _nightly(series, settings, policy, nights, folder), strict=True):
        paths.append(model.published.paths(series.until(night + 1), [night])[0])
        skills.append(_test_skill(model, series.until(night + 1)))
        seconds.append(took)
        modes[model.decision.mode] += 1
        if on_night:
            on_night(int(night), model)
    later = seconds[1:] or seconds
    return PolicyScore(
        ticker=ticker,
        policy=policy,
        nights=len(nights),
        skill=_skill(series, nights, np.array(paths), settings),
        test_skill=float(np.mean(skills)),
        seconds=float(np.mean(later)),
        slowest=float(np.max(later)),
        retrained=modes["retrain"],
        fine_tuned=modes["fine-tune"],
        kept=modes["keep"],
    )


def table(rows: list[PolicyScore]) -> list[str]:
    """The rows as Markdown, each with its difference from retraining every night."""
    lines = [
        "| ticker | policy | nights | skill | vs retrain | test skill | vs retrain | s a night | slowest | modes |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        base = next((r for r in rows if r.ticker == row.ticker and r.policy == "retrain"), row)
        apart = (row.skill or 0.0) - (base.skill or 0.0)
        modes = f"{row.retrained} retrain, {row.fine_tuned} fine-tune, {row.kept} keep"
        lines.append(
            f"| {row.ticker} | {row.policy} | {row.nights} | {row.skill or 0.0:+.4f} | {apart:+.4f} | "
            f"{row.test_skill:+.4f} | {row.test_skill - base.test_skill:+.4f} | "
            f"{row.seconds:.2f} | {row.slowest:.2f} | {modes} |"
        )
    return lines


def _nightly(
    series: PriceSeries, settings: Settings, policy: Mode, nights: Indices, folder: Path
) -> Iterator[tuple[TrainedModel, float]]:
    champion: TrainedModel | None = None
    before: Path | None = None
    for night in nights:
        known = series.until(night + 1)
        decision = decide(facts_about(champion, known, settings), policy, settings.policy)
        if champion is None:
            decision = replace(decision, mode="retrain")
        here = folder / f"night-{night}"
        began = time.perf_counter()
        champion = train(known, settings, decision, champion=before, folder=here)
        yield champion, time.perf_counter() - began
        if before:
            shutil.rmtree(before)
        before = here


def _test_skill(model: TrainedModel, known: PriceSeries) -> float:
    """Of the held-out network on its own test part, which for a kept model is the one it was trained with."""
    at = origins(model.parts.test, model.settings.evaluation.origin_every)
    return _skill(known, at, model.held_out.paths(known, at), model.settings) or 0.0


def _skill(series: PriceSeries, at: Indices, paths: Floats, settings: Settings) -> float | None:
    return evaluate(series.mid, at, {LSTM: paths}, settings.evaluation, close=series.close).scores[LSTM].skill
