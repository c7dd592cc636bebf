"""How much of a base's skill its inputs give without a network: a linear regression on all that it sees.

python -m tests.bench.linear_inputs HALF --prices ../shared/kaggle-universe/Stocks --from 2011-11-30 --to 2017-11-10

HALF: vintages of every other ticker (`make_bases --half`); the regression learns from these tickers too, to the same
sessions, what the pooled regression learns from six terms; the other tickers are scored, every 5th session. Prints the
CRPS skill (%) of widths, symmetrised: mean, share of tickers above zero.
"""

import argparse
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from stockml.evaluation.distribution_scores import losses, skill
from stockml.features.range_volatility import Volatilities
from stockml.features.width_inputs import INPUTS, width_inputs
from stockml.models.base_network import LOOK_BACK
from stockml.models.pool import Pool
from stockml.models.pooled_regression import (
    LEADS,
    LEVELS,
    SMALLEST_MOVE,
    learning_bars,
    learning_origins,
    moves,
    symmetrised,
)
from stockml.prices.csv_import import read_folder
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

EVERY, FEWEST = 5, 100
WINDOWS = (1, 5, 22, LOOK_BACK)  # sessions over which each input is averaged
SIGNED = [INPUTS.index(name) for name in ("return", "overnight gap")]  # whose falls count apart
AT = np.array(LEADS)
ROWS = (
    "linear, over the pooled regression",
    "network, over the pooled regression",
    "network, over the linear",
    "mean of network and linear, over the pooled regression",
    "mean of network and linear, over the linear",
)


@dataclass(frozen=True, eq=False)
class LinearWidths:
    """Least squares of ln(|move| / (EWMA 60 · √lead) + 0.05) on averages of the network's inputs, and its shape."""

    means: Floats
    coefficients: Floats
    shape: Floats

    @classmethod
    def fit(cls, series: dict[str, PriceSeries], until: date) -> Self:
        parts = []
        for bars in learning_bars(series, until, "a regression")[0].values():
            at = learning_origins(bars)
            parts.append((averages(bars)[at], unit(bars, at), moves(bars, at, AT)))
        inputs, units, moved = (np.concatenate(part) for part in zip(*parts, strict=True))
        means = np.nanmean(inputs, axis=0)
        known = with_one(np.where(np.isnan(inputs), means, inputs))
        coefficients = np.linalg.lstsq(known, np.log(np.abs(moved) / units + SMALLEST_MOVE))[0]
        shape = np.quantile(moved / (np.exp(known @ coefficients) * units), LEVELS, axis=0).T
        return cls(means, coefficients, shape)

    def quantiles(self, bars: PriceSeries, at: Indices) -> Floats:
        """(m, 11, 21) symmetric quantiles at LEADS."""
        inputs = averages(bars)[at]
        known = with_one(np.where(np.isnan(inputs), self.means, inputs))
        return symmetrised((np.exp(known @ self.coefficients) * unit(bars, at))[..., None] * self.shape)


def averages(bars: PriceSeries) -> Floats:
    """(n, 64) of each input, and of its falls alone where its sign counts, over each window up to each session."""
    inputs = width_inputs(bars)
    table = pd.DataFrame(np.column_stack([inputs, np.minimum(inputs[:, SIGNED], 0)]))
    return np.column_stack([table.rolling(window, min_periods=1).mean() for window in WINDOWS])


def unit(bars: PriceSeries, at: Indices) -> Floats:
    return np.asarray(Volatilities.of(bars).ewma_60[at, None] * np.sqrt(AT), dtype=np.float64)


def with_one(inputs: Floats) -> Floats:
    return np.column_stack([np.ones(len(inputs)), inputs])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("vintages", type=Path)
    options.add_argument("--prices", type=Path, required=True)
    options.add_argument("--from", dest="first", type=date.fromisoformat, required=True)
    options.add_argument("--to", dest="last", type=date.fromisoformat, required=True)
    chosen = options.parse_args()
    series, _ = read_folder(chosen.prices)
    names = sorted(series)
    learned: dict[date, LinearWidths] = {}
    found: list[list[float]] = []
    for bars in (series[name] for name in names[1::2]):
        first, end = np.searchsorted(bars.sessions, np.array([chosen.first, chosen.last], dtype=bars.sessions.dtype))
        at = np.arange(first, min(end, len(bars) - LEADS[-1]), EVERY)
        if len(at) < FEWEST:
            continue
        rows: list[tuple[Floats, ...]] = []
        pools = [Pool.before(day.item(), [chosen.vintages]) for day in bars.sessions[at]]
        for through in sorted({pool.through for pool in pools if pool.through}):
            here = np.array([pool.through == through for pool in pools])
            pool, origins = pools[int(np.argmax(here))], at[here]
            if through not in learned:
                learned[through] = LinearWidths.fit({name: series[name] for name in names[::2]}, through)
            simple = symmetrised(pool.simple(bars, origins, AT))
            linear, network = learned[through].quantiles(bars, origins), pool.network(bars, origins, AT)
            actual = moves(bars, origins, AT)
            rows.append(tuple(losses(each, actual, AT) for each in (simple, linear, network, (linear + network) / 2)))
        one, two, three, both = (float(np.concatenate(each).mean()) for each in zip(*rows, strict=True))
        found.append([skill(two, one), skill(three, one), skill(three, two), skill(both, one), skill(both, two)])
    for row, skills in zip(ROWS, 100 * np.array(found).T, strict=True):
        print(f"{row}: {skills.mean():+.3f} % ({100 * (skills > 0).mean():.0f} % of {len(skills)} tickers)")


if __name__ == "__main__":
    main()
