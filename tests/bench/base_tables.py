"""What a base network is worth against the pooled regression, over tickers that neither has seen; Markdown or --json.

python -m tests.bench.base_tables --prices ../shared/kaggle-universe/Stocks [--cut 2005-06-30] [--json]

Regression and base learn, up to the cut, from every other file of the folder, and the rest is scored. `--shipped` takes
the newest shipped vintages that end by the cut, and scores all of --prices: of other tickers than those they learned
from, that is a test too. Eras, figures and the reference are those of `width_tables`, whose simple rows stand beside.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from stockml.evaluation.simple_distributions import CONSTANT, EWMA_60, DistributionRows
from stockml.models import base_vintages, pooled_vintages
from stockml.models.base_network import BaseNetwork
from stockml.models.pooled_regression import PooledRegression
from stockml.prices.series import PriceSeries
from stockml.training.base_trainee import members_of
from stockml.training.pretrain import PretrainProgress, pretrain
from tests.bench.make_vintages import read_folder
from tests.bench.width_tables import (
    CUTS,
    FEWEST_ORIGINS,
    MONTHS_AFTER_CUT,
    REFERENCE,
    Era,
    Ticker,
    all_rows,
    halves,
    line,
    measured,
    origins_from,
    table,
)

BASE = "base network"
HALF = "base and regression, half and half"
SHOWN = (REFERENCE, f"{CONSTANT}, own shape", f"{EWMA_60}, own shape", f"{EWMA_60}, pooled shape", BASE, HALF)


def era(prices: Mapping[str, PriceSeries], pool: PooledRegression, base: BaseNetwork, cut: date) -> Era:
    """Score every ticker that has the era; the others are named with the reason."""
    start = (pd.Timestamp(cut) + pd.DateOffset(months=MONTHS_AFTER_CUT)).date()
    base.check_unseen(start)
    found: dict[str, Ticker] = {}
    left_out: dict[str, str] = {}
    days: list[date] = []
    for ticker, series in prices.items():
        origins = origins_from(series, start)
        if len(origins) < FEWEST_ORIGINS:
            left_out[ticker] = f"expected at least {FEWEST_ORIGINS} origins, found {len(origins)}"
            continue
        found[ticker] = measured(series, rows_of(series, origins, pool, base))
        days += [series.sessions[origins[0]].item(), series.sessions[origins[-1]].item()]
    having = {name: [ticker for ticker in found.values() if name in ticker.scores] for name in SHOWN}
    lines = [line(name, tickers) for name, tickers in having.items() if tickers]
    return Era(str(cut), str(base.through), len(base.tickers), str(min(days)), str(max(days)), lines, left_out)


def rows_of(series: PriceSeries, origins: np.ndarray, pool: PooledRegression, base: BaseNetwork) -> DistributionRows:
    """The simple rows, the base's, and its mean with the regression's symmetrised quantiles."""
    rows, _ = all_rows(series, origins, pool)
    found = base.quantiles(series, origins, rows.leads, pool)
    half = (found + pool.quantiles(series, origins, rows.leads, symmetric=True)) / 2
    return rows.with_row(BASE, origins, rows.leads, found).with_row(HALF, origins, rows.leads, half)


def learned(series: Mapping[str, PriceSeries], cut: date, seeds: int) -> tuple[PooledRegression, BaseNetwork]:
    pool = PooledRegression.fit(series, cut)
    with tempfile.TemporaryDirectory() as folder:
        return pool, pretrain(
            series, cut, pool, folder=Path(folder), members=members_of(seeds), on_epoch=said(str(cut))
        )


def shipped(cut: date) -> tuple[PooledRegression, BaseNetwork]:
    """The newest of both that end by the cut, or the end of the program."""
    after = date.fromordinal(cut.toordinal() + 1)
    pool, base = pooled_vintages.newest_before(after), base_vintages.newest_before(after)
    if isinstance(pool, PooledRegression) and isinstance(base, BaseNetwork):
        return pool, base
    sys.exit(f"{pool if isinstance(base, BaseNetwork) else base}")


def said(what: str) -> Callable[[PretrainProgress], None]:
    """Tells each epoch on the standard error."""

    def tell(row: PretrainProgress) -> None:
        text = f"{what}, {row.member}: epoch {row.epoch} of {row.epochs}, loss {row.loss:.5f}"
        print(f"{text}, {row.seconds:.0f} s, {row.seconds_left:.0f} s left", file=sys.stderr, flush=True)

    return tell


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--prices", type=Path, required=True)
    options.add_argument("--cut", action="append", type=date.fromisoformat, help="may be repeated")
    options.add_argument("--seeds", type=int, default=1, help="of each kind of network")
    options.add_argument("--shipped", action="store_true", help="take the shipped vintages; score all of --prices")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    prices, _ = read_folder(chosen.prices)
    mine, others = halves(prices)
    found = []
    for cut in chosen.cut or [date.fromisoformat(cut) for cut in CUTS]:
        pool, base = shipped(cut) if chosen.shipped else learned(mine, cut, chosen.seeds)
        found.append(era(prices if chosen.shipped else others, pool, base, cut))
        print("\n".join(table(found[-1])), file=sys.stderr if chosen.json else sys.stdout, flush=True)
    if chosen.json:
        print(json.dumps({"eras": [asdict(each) for each in found]}))


if __name__ == "__main__":
    main()
