"""The coverage and skill tables, as Markdown: `STOCKML_KAGGLE_DIR=… python -m tests.tables [--lstm] [--eras 6]`.

Bands are calibrated on the validation part and measured on the test part, an origin every 10 sessions, 50 leads.
An era ends 1,500 sessions before the next: the same measurement, had it been made that much earlier.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stockml.baselines import BASELINES, LAST_VALUE
from stockml.config import settings_for
from stockml.evaluation import LSTM, Evaluation, evaluate
from stockml.history import read_history
from stockml.intervals import Bands, BandScores, score_bands, volatility
from stockml.normalise import PriceSeries
from stockml.policy import Decision
from stockml.sessions import sessions_for
from stockml.training import train
from stockml.windows import origins, parts
from tests.kaggle import LONG, kaggle_folder

ERA = 1_500
FEWEST = 4_500
SETTINGS = settings_for("nightly")

Paths = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Row:
    """One ticker's measurement in one era."""

    ticker: str
    until: str
    scores: BandScores
    evaluation: Evaluation


def series_of(ticker: str) -> PriceSeries:
    path = kaggle_folder() / "Stocks" / f"{ticker}.us.txt"
    return PriceSeries.from_bars(read_history(path, sessions_for(ticker.upper())).bars)


def rows(lstm: bool, eras: int) -> Iterator[Row]:
    for ticker in LONG:
        whole = series_of(ticker)
        for era in range(eras):
            series = whole.until(len(whole) - era * ERA)
            if len(series) >= FEWEST:
                yield measured(ticker, series, learned(series) if lstm else naive(series), LSTM if lstm else None)


def measured(ticker: str, series: PriceSeries, paths: Paths, name: str | None) -> Row:
    mid, split, every = series.mid, parts(len(series), SETTINGS.evaluation), SETTINGS.evaluation.origin_every
    validation, test = origins(split.validation, every), origins(split.test, every)
    bands, path = Bands.fit(mid, validation, paths(validation)), paths(test)
    name = name or "last value with drift"
    rises = bands.probability_of_rise(path, volatility(mid)[test], mid[test], SETTINGS.evaluation.direction_step)
    evaluation = evaluate(mid, test, {name: path}, SETTINGS.evaluation, {name: rises})
    return Row(ticker.upper(), str(series.sessions[-1]), score_bands(bands, mid, test, path), evaluation)


def naive(series: PriceSeries) -> Paths:
    return lambda at: BASELINES[LAST_VALUE].path(series.mid, at, SETTINGS.evaluation.horizon)


def learned(series: PriceSeries) -> Paths:
    with tempfile.TemporaryDirectory() as folder:
        model = train(series, SETTINGS, Decision("retrain", "measured"), champion=None, folder=Path(folder))
    return lambda at: model.held_out.paths(series, at)


def coverage_table(found: list[Row]) -> list[str]:
    lines = [
        "| ticker | until | 50 % | 80 % | 95 % | 80 %, lead 1 | lead 10 | lead 50 |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    cells = [_coverages(row) for row in found]
    lines += [f"| {row.ticker} | {row.until} | {_percents(cell)} |" for row, cell in zip(found, cells, strict=True)]
    return [*lines, f"| pooled | | {_percents(np.mean(cells, axis=0))} |"]


def skill_table(found: list[Row]) -> list[str]:
    heads = ("ticker", "until", "skill", "95 % interval", "p (a loss)", "lead 1", "lead 10", "lead 50", "direction",
             "base rate", "Brier")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---|---|" + "--:|" * (len(heads) - 2)]
    return lines + [f"| {row.ticker} | {row.until} | {' | '.join(_skills(row.evaluation))} |" for row in found]


def _coverages(row: Row) -> list[float]:
    by_lead = row.scores.bands["80"].coverage_by_lead
    pooled = [row.scores.bands[band].coverage for band in ("50", "80", "95")]
    return [*pooled, *(by_lead[lead - 1] for lead in (1, 10, 50))]


def _percents(values: "list[float] | np.ndarray") -> str:
    return " | ".join(f"{100 * value:.1f}" for value in values)


def _skills(evaluation: Evaluation) -> list[str]:
    comparison = evaluation.comparisons[0]
    score = evaluation.scores[comparison.name]
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
    ]


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--lstm", action="store_true", help="paths of a trained network, not of the last value")
    options.add_argument("--eras", type=int, default=1)
    chosen = options.parse_args()
    if not os.environ.get("STOCKML_KAGGLE_DIR"):
        options.error("expected STOCKML_KAGGLE_DIR to name the folder that holds Stocks/hpq.us.txt and others")
    found = list(rows(chosen.lstm, chosen.eras))
    print("\n".join([*coverage_table(found), "", *skill_table(found)]))


if __name__ == "__main__":
    main()
