"""What the model earns and costs, as Markdown, on the long files that `STOCKML_KAGGLE_DIR` names.

python -m tests.bench.model_tables skill [--seeds 3] [--until 2011-01-01] [--every 1]  by ticker, seed
python -m tests.bench.model_tables tutorial [TICKER ...] [--epochs 30]                 the tutorial profile
python -m tests.bench.model_tables walk [TICKER ...] [--nights 60]                     retraining policies

`--every` is the sessions between two measured origins, 1 for all of them; the model keeps its own settings.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np

from stockml.evaluation.backtest import PolicyScore, backtest, nights_of, table
from stockml.evaluation.evaluate import LSTM, evaluate
from stockml.features.windows import origins, outcomes
from stockml.forecasts.error_scaling import past_range
from stockml.models.retrain_policy import Decision
from stockml.models.tensorflow import tensorflow
from stockml.models.trained_model import TrainedModel
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings, Mode, Settings, settings_for
from stockml.storage.arrays import Indices
from stockml.training.train import train
from tests.bench.interval_tables import series_of
from tests.support.kaggle import LONG


class Skills(NamedTuple):
    """On the same test origins.  hindsight: of the one constant rise that would have been best there, known afterwards
    only: as much as any steady rise of this ticker can earn."""

    model: float
    drift: float
    hindsight: float


def measured(series: PriceSeries, settings: Settings, every: int) -> tuple[TrainedModel, Skills, float]:
    """The model, the skills with its held-out network's on every such test origin, and both fits' seconds."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        model = train(series, settings, Decision("retrain", "measured"), champion=None, folder=Path(folder))
        seconds = time.perf_counter() - began
    at = origins(model.parts.test, every)
    paths = {LSTM: model.held_out.paths(series, at)}
    scores = evaluate(series.mid, at, paths, settings.evaluation, close=series.close).scores
    found = (scores[LSTM].skill or 0.0, scores["drift"].skill or 0.0, hindsight(series, at, settings.evaluation))
    return model, Skills(*found), seconds


def hindsight(series: PriceSeries, at: Indices, settings: EvaluationSettings) -> float:
    """The skill of that rise: the least-squares share of the scaled moves that a straight line explains."""
    start = series.close[at, None]
    scale = past_range(series.mid, settings.scale_sessions)[at, None]
    rise = start * np.arange(1, settings.horizon + 1) / scale
    came = (outcomes(series.mid, at, settings.horizon) - start) / scale
    return float(np.sum(rise * came) ** 2 / np.sum(rise**2) / np.sum(came**2))


def skill_row(ticker: str, series: PriceSeries, settings: Settings, seeds: int, every: int) -> tuple[str, Skills]:
    """A line with the skill for each seed, and the mean over the seeds."""
    seeded = [settings.changed(training=settings.training.changed(seed=seed)) for seed in range(1, seeds + 1)]
    found = [measured(series, each, every) for each in seeded]
    mean = Skills(*np.mean([skills for _, skills, _ in found], axis=0))
    cells = " | ".join(f"{skills.model:+.4f}" for _, skills, _ in found)
    weights = ", ".join(f"{model.held_out.residual_weight:.2f}" for model, _, _ in found)
    head = f"| {ticker.upper()} | {series.sessions[-1]} | {cells} | {mean.model:+.4f} | 0 | {mean.drift:+.4f} | "
    head += f"{mean.hindsight:+.4f} | "
    return head + f"{max(seconds for _, _, seconds in found):.1f} | {weights} |", mean


def skill_table(seeds: int, until: str | None, every: int) -> list[str]:
    names = " | ".join(f"seed {seed}" for seed in range(1, seeds + 1))
    lines = [
        f"| ticker | until | {names} | mean | last close | drift | best rise in hindsight | s, both fits "
        "| network's weight |",
        "|---|---|" + "--:|" * (seeds + 6),
    ]
    means = []
    for ticker in LONG:
        series = series_of(ticker)
        if until:
            series = series.until(int((series.sessions < np.datetime64(until)).sum()))
        line, mean = skill_row(ticker, series, settings_for(), seeds, every)
        lines.append(line)
        means.append(mean)
    model, drift, best = np.mean(means, axis=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        *lines,
        f"\nMean {model:+.4f}, drift {drift:+.4f}, best rise in hindsight {best:+.4f}; peak memory {peak:.0f} MB.",
    ]


def tutorial_table(tickers: list[str], epochs: int) -> list[str]:
    lines = ["| ticker | tutorial profile | last close | drift | s, both fits |", "|---|--:|--:|--:|--:|"]
    settings = settings_for("tutorial", {"training.epochs": epochs})
    for ticker in tickers:
        _, skills, seconds = measured(series_of(ticker.lower()), settings, settings.evaluation.origin_every)
        lines.append(f"| {ticker.upper()} | {skills.model:+.4f} | 0 | {skills.drift:+.4f} | {seconds:.0f} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def walk_table(tickers: list[str], nights: int) -> list[str]:
    rows: list[PolicyScore] = []
    for ticker in tickers:
        series, settings = series_of(ticker.lower()), settings_for()
        at = nights_of(series, settings, nights)
        for policy in get_args(Mode):
            with tempfile.TemporaryDirectory() as folder:
                rows.append(backtest(ticker.upper(), series, settings, policy, at, folder=Path(folder)))
            print(table(rows)[-1], file=sys.stderr, flush=True)
    return table(rows)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("what", choices=["skill", "tutorial", "walk"])
    options.add_argument("tickers", nargs="*", default=["ibm", "ko"])
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--nights", type=int, default=60)
    options.add_argument("--epochs", type=int, default=30)
    options.add_argument("--until")
    options.add_argument("--every", type=int, default=settings_for().evaluation.origin_every)
    chosen = options.parse_args()
    tensorflow()
    tables = {
        "skill": lambda: skill_table(chosen.seeds, chosen.until, chosen.every),
        "tutorial": lambda: tutorial_table(chosen.tickers, chosen.epochs),
        "walk": lambda: walk_table(chosen.tickers, chosen.nights),
    }
    print("\n".join(tables[chosen.what]()))


if __name__ == "__main__":
    main()
