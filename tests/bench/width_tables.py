"""What each simple width is worth against the pooled regression, over many tickers, as Markdown or with --json.

python -m tests.bench.width_tables --prices ../shared/kaggle-universe/Stocks [--cut 2005-06-30] [--json]

By default the regression learns, up to the cut, from every other file of the folder, and the rest is scored: on
tickers that it has not seen. `--pool FOLDER` learns from another folder's files and scores all of --prices; `--shipped`
takes the newest shipped vintage that ends by the cut instead. An era begins three months after its cut and has 1,500
sessions, every 5th an origin. Figures: CRPS, symmetrised, against the pooled regression with its pooled shape (> 0:
better), mean over tickers, and the share of tickers above zero; p by blocks of calendar time, for all tickers together.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from stockml.evaluation.distribution_scores import (
    CrpsComparison,
    DatedLosses,
    DistributionScore,
    compared,
    dated_losses,
    pooled_test,
    scored,
)
from stockml.evaluation.simple_distributions import (
    POOLED,
    SHAPES,
    Calibration,
    DistributionRows,
    simple_distributions,
)
from stockml.models.pooled_regression import LEADS, PooledRegression, moves
from stockml.models.pooled_vintages import NoVintage, newest_before
from stockml.prices.series import PriceSeries
from tests.bench.make_vintages import read_folder

CUTS = ("1999-06-30", "2005-06-30", "2011-08-31")
MONTHS_AFTER_CUT = 3
ERA_SESSIONS = 1_500
EVERY = 5
FEWEST_ORIGINS = 250
SHOWN_LEADS = (1, 5, 20, 50)
CALIBRATIONS: tuple[Calibration, ...] = ("pooled", "own")
REFERENCE = f"{POOLED}, pooled shape"


@dataclass(frozen=True)
class Ticker:
    """One ticker in one era: every row with either shape, named `EWMA 60, own shape`."""

    scores: dict[str, DistributionScore]
    comparisons: dict[str, CrpsComparison]
    losses: dict[str, DatedLosses]


@dataclass(frozen=True)
class Line:
    """One row over all tickers, in percent; p two-sided."""

    row: str
    tickers: int
    crps: float
    share: float
    by_lead: dict[str, float]
    share_by_lead: dict[str, float]
    coverage_80: float
    worst_coverage_80: tuple[float, float]
    p_value: float | None


@dataclass(frozen=True)
class Era:
    cut: str
    learned_through: str
    learned_tickers: int
    first: str
    last: str
    lines: list[Line]
    left_out: dict[str, str]


def era(prices: Mapping[str, PriceSeries], pool: PooledRegression, cut: date) -> Era:
    """Score every ticker that has the era; the others, and the rows that one cannot have, are named with the reason."""
    start = (pd.Timestamp(cut) + pd.DateOffset(months=MONTHS_AFTER_CUT)).date()
    found: dict[str, Ticker] = {}
    left_out: dict[str, str] = {}
    days: list[date] = []
    for ticker, series in prices.items():
        origins = origins_from(series, start)
        if len(origins) < FEWEST_ORIGINS:
            left_out[ticker] = f"expected at least {FEWEST_ORIGINS} origins, found {len(origins)}"
            continue
        rows, reasons = all_rows(series, origins, pool)
        left_out |= {f"{ticker}, {row} shape": why for row, why in reasons.items()}
        ticker_found = measured(series, rows)
        if not ticker_found.scores[REFERENCE].crps > 0:
            left_out[ticker] = "expected prices that move, found none that do"
            continue
        found[ticker] = ticker_found
        days += [series.sessions[origins[0]].item(), series.sessions[origins[-1]].item()]
    days.sort()
    names = [f"{name}, {each} shape" for name in SHAPES for each in CALIBRATIONS]
    having = {name: [ticker for ticker in found.values() if name in ticker.scores] for name in names}
    lines = [line(name, tickers) for name, tickers in having.items() if tickers]
    first, last = (str(days[0]), str(days[-1])) if days else ("–", "–")
    return Era(str(cut), str(pool.through), len(pool.tickers), first, last, lines, left_out)


def origins_from(series: PriceSeries, start: date) -> np.ndarray:
    first = int(np.searchsorted(series.sessions, np.datetime64(start)))
    return np.arange(first, min(first + ERA_SESSIONS, len(series) - LEADS[-1]), EVERY) if first else np.arange(0)


def all_rows(
    series: PriceSeries, origins: np.ndarray, pool: PooledRegression
) -> tuple[DistributionRows, dict[str, str]]:
    """Rows of both calibrations beside each other, and the reasons of those that cannot be had."""
    leads = np.array(LEADS)
    both = {each: simple_distributions(series, origins, leads, pool, each) for each in CALIBRATIONS}
    quantiles = {
        f"{name}, {each} shape": both[each].quantiles[name]
        for name in SHAPES
        for each in CALIBRATIONS
        if name in both[each].quantiles
    }
    reasons = {f"{name}, {each}": why for each in CALIBRATIONS for name, why in both[each].reasons.items()}
    return DistributionRows(origins, leads, quantiles, {}), reasons


def measured(series: PriceSeries, rows: DistributionRows) -> Ticker:
    actual = moves(series, rows.origins, rows.leads)
    return Ticker(
        {name: scored(quantiles, actual, rows.leads) for name, quantiles in rows.quantiles.items()},
        compared(rows, actual, reference=REFERENCE),
        {name: dated_losses(rows, name, actual, series.sessions, reference=REFERENCE) for name in rows.quantiles},
    )


def line(name: str, tickers: list[Ticker]) -> Line:
    zeros = [0.0] * (1 + len(LEADS))
    skills = 100 * np.array([[c.skill, *c.skill_by_lead] if (c := t.comparisons.get(name)) else zeros for t in tickers])
    mean, share = skills.mean(axis=0), 100 * (skills > 0).mean(axis=0)
    covered = [100 * ticker.scores[name].coverage["80"] for ticker in tickers]
    test = pooled_test([ticker.losses[name] for ticker in tickers])
    at = {str(lead): 1 + LEADS.index(lead) for lead in SHOWN_LEADS}
    return Line(
        row=name,
        tickers=len(tickers),
        crps=float(mean[0]),
        share=float(share[0]),
        by_lead={lead: float(mean[i]) for lead, i in at.items()},
        share_by_lead={lead: float(share[i]) for lead, i in at.items()},
        coverage_80=float(np.mean(covered)),
        worst_coverage_80=(float(min(covered)), float(max(covered))),
        p_value=test.p_value if test and name != REFERENCE else None,
    )


def table(found: Era) -> list[str]:
    heads = [
        "row",
        "tickers",
        "CRPS",
        "tickers above 0",
        *(f"lead {lead}" for lead in SHOWN_LEADS),
        "p",
        "80 % band held",
        "worst",
    ]
    count = max((each.tickers for each in found.lines), default=0)
    return [
        f"Cut {found.cut}: learned from {found.learned_tickers} tickers through {found.learned_through}; scored on "
        f"{count} others, origins {found.first} to {found.last}.",
        "",
        f"| {' | '.join(heads)} |",
        "|---|" + "--:|" * (len(heads) - 1),
        *(f"| {' | '.join(_cells(each))} |" for each in found.lines),
        *(f"\nLeft out of {row}: {', '.join(who)}." for row, who in _grouped(found.left_out).items()),
        "",
    ]


def _cells(found: Line) -> list[str]:
    covered = [f"{found.coverage_80:.1f} %", f"{found.worst_coverage_80[0]:.0f} to {found.worst_coverage_80[1]:.0f} %"]
    if found.row == REFERENCE:
        return [found.row, str(found.tickers), "0", "–", *("0" for _ in found.by_lead), "–", *covered]
    leads = [f"{value:+.2f} % ({found.share_by_lead[lead]:.0f})" for lead, value in found.by_lead.items()]
    p_value = "–" if found.p_value is None else f"{found.p_value:.3f}"
    return [found.row, str(found.tickers), f"{found.crps:+.2f} %", f"{found.share:.0f} %", *leads, p_value, *covered]


def _grouped(left_out: Mapping[str, str]) -> dict[str, list[str]]:
    """Tickers by the row that they cannot have; `all rows` for those without the era."""
    grouped: dict[str, list[str]] = {}
    for who in left_out:
        ticker, _, row = who.partition(", ")
        grouped.setdefault(row or "all rows", []).append(ticker)
    return grouped


def halves(prices: Mapping[str, PriceSeries]) -> tuple[dict[str, PriceSeries], dict[str, PriceSeries]]:
    """The even and the odd tickers, in order of their names."""
    names = sorted(prices)
    return {name: prices[name] for name in names[::2]}, {name: prices[name] for name in names[1::2]}


def pool_of(chosen: argparse.Namespace, learned: Mapping[str, PriceSeries], cut: date) -> PooledRegression:
    if not chosen.shipped:
        return PooledRegression.fit(learned, cut)
    found = newest_before(date.fromordinal(cut.toordinal() + 1))
    if isinstance(found, NoVintage):
        sys.exit(str(found))
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--prices", type=Path, required=True)
    options.add_argument("--cut", action="append", type=date.fromisoformat, help="may be repeated")
    options.add_argument("--pool", type=Path, help="learn from this folder's files; score all of --prices")
    options.add_argument("--shipped", action="store_true", help="take the shipped vintages; score all of --prices")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    prices, refusals = read_folder(chosen.prices)
    learned, scored_on = halves(prices)
    if chosen.pool:
        learned, scored_on = read_folder(chosen.pool)[0], prices
    elif chosen.shipped:
        scored_on = prices
    cuts = chosen.cut or [date.fromisoformat(cut) for cut in CUTS]
    found = [era(scored_on, pool_of(chosen, learned, cut), cut) for cut in cuts]
    if chosen.json:
        print(
            json.dumps({"eras": [asdict(each) for each in found], "refused": {k: str(v) for k, v in refusals.items()}})
        )
        return
    print("\n".join(row for each in found for row in table(each)))
    print("\n".join(f"Refused: {refusal}" for refusal in refusals.values()))


if __name__ == "__main__":
    main()
