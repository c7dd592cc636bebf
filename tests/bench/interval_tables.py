"""The coverage and skill tables, as Markdown.

`python -m tests.bench.interval_tables [--lstm] [--eras 6]`.

Bands are calibrated on the validation part and measured on the test part, an origin every 10 sessions, 50 leads.
An era ends 1,500 sessions before the next: the same measurement, had it been made that much earlier. "published" is
what would have been published of the model: drawn towards the last close, lead by lead, as the skill asks that it had
shown till then.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stockml.evaluation.candidates import Candidate, Scored
from stockml.evaluation.evaluate import LSTM, PUBLISHED, evaluate
from stockml.evaluation.metrics import Evaluation
from stockml.features.windows import origins, split_origins
from stockml.forecasts.conformal import BandScores, score_bands
from stockml.models.retrain_policy import Decision
from stockml.models.trained_model import TrainedModel
from stockml.prices.calendar import sessions_for
from stockml.prices.csv_import import read_history
from stockml.prices.series import PriceSeries
from stockml.settings import settings_for
from stockml.training.train import train
from tests.support.kaggle import ABSENT, LONG, kaggle_at_hand, kaggle_folder

ERA = 1_500
FEWEST = 4_500
SETTINGS = settings_for("nightly")


@dataclass(frozen=True)
class Row:
    """One ticker's measurement in one era."""

    ticker: str
    until: str
    scores: BandScores
    published_scores: BandScores
    evaluation: Evaluation
    weights: tuple[float, ...]


def series_of(ticker: str) -> PriceSeries:
    path = kaggle_folder() / "Stocks" / f"{ticker}.us.txt"
    return PriceSeries.from_bars(read_history(path, sessions_for(ticker.upper())).believed)


def rows(lstm: bool, eras: int) -> Iterator[Row]:
    for ticker in LONG:
        whole = series_of(ticker)
        for era in range(eras):
            series = whole.until(len(whole) - era * ERA)
            if len(series) >= FEWEST:
                yield measured(ticker, series, learned(series) if lstm else None)


def measured(ticker: str, series: PriceSeries, model: TrainedModel | None) -> Row:
    """The model's row, or without one the last close's."""
    split = split_origins(len(series), SETTINGS.evaluation)
    test, mid = origins(split.test, SETTINGS.evaluation.origin_every), series.mid
    own = Candidate.of(series, split, SETTINGS.evaluation, model)
    said = own.published(series, test)
    named: dict[str, Scored] = {LSTM if model else "last close with drift": own, PUBLISHED: said}
    rises = {name: each.rises(series, test, SETTINGS.evaluation.direction_step) for name, each in named.items()}
    paths = {name: each.paths for name, each in named.items()}
    evaluation = evaluate(mid, test, paths, SETTINGS.evaluation, rises, close=series.close)
    scores, published = (score_bands(each.bands, mid, test, each.paths) for each in (own, said))
    return Row(ticker.upper(), str(series.sessions[-1]), scores, published, evaluation, own.combination.weights)


def learned(series: PriceSeries) -> TrainedModel:
    with tempfile.TemporaryDirectory() as folder:
        return train(series, SETTINGS, Decision("retrain", "measured"), champion=None, folder=Path(folder))


def coverage_table(found: list[Row]) -> list[str]:
    lines = [
        "| ticker | until | 50 % | 80 % | 95 % | 80 %, lead 1 | lead 10 | lead 50 | published 80 % |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    cells = [[*_coverages(row), row.published_scores.bands["80"].coverage] for row in found]
    lines += [f"| {row.ticker} | {row.until} | {_percents(cell)} |" for row, cell in zip(found, cells, strict=True)]
    return [*lines, f"| pooled | | {_percents(np.mean(cells, axis=0))} |"]


def skill_table(found: list[Row]) -> list[str]:
    heads = ("ticker", "until", "skill", "95 % interval", "p (a loss)", "lead 1", "lead 10", "lead 50", "direction",
             "base rate", "Brier", "published", "its lead 1", "lead 10", "weights 1 / 10 / 50")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---|---|" + "--:|" * (len(heads) - 2)]
    return lines + [f"| {row.ticker} | {row.until} | {' | '.join(_skills(row))} |" for row in found]


def _coverages(row: Row) -> list[float]:
    by_lead = row.scores.bands["80"].coverage_by_lead
    pooled = [row.scores.bands[band].coverage for band in ("50", "80", "95")]
    return [*pooled, *(by_lead[lead - 1] for lead in (1, 10, 50))]


def _percents(values: "list[float] | np.ndarray") -> str:
    return " | ".join(f"{100 * value:.1f}" for value in values)


def _skills(row: Row) -> list[str]:
    evaluation, comparison = row.evaluation, row.evaluation.comparisons[0]
    score, published = evaluation.scores[comparison.name], evaluation.scores[PUBLISHED]
    interval, test = comparison.interval, comparison.test
    figures = [score.skill_by_lead[lead] for lead in ("1", "10", "50")]
    return [
        _signed(score.skill),
        f"{interval.low:+.3f} … {interval.high:+.3f}" if interval else "–",
        f"{test.p_worse:.2f}" if test else "–",
        *(_signed(figure) for figure in figures),
        *(
            "–" if value is None else f"{value:.3f}"
            for value in (score.direction.accuracy, score.direction.base_rate, score.direction.brier)
        ),
        *(_signed(figure) for figure in (published.skill, *(published.skill_by_lead[lead] for lead in ("1", "10")))),
        " / ".join(f"{row.weights[lead - 1]:.2f}" for lead in (1, 10, 50)),
    ]


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--lstm", action="store_true", help="a trained network, not the last close")
    options.add_argument("--eras", type=int, default=1)
    chosen = options.parse_args()
    if kaggle_at_hand() is None:
        options.error(ABSENT)
    found = list(rows(chosen.lstm, chosen.eras))
    print("\n".join([*coverage_table(found), "", *skill_table(found)]))


if __name__ == "__main__":
    main()
