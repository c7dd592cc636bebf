"""The skill of a base as it ages: bases that end before an era scored on it, against the newest such regression.

python -m tests.bench.ageing HALF --prices ../shared/kaggle-universe/Stocks --from 2011-11-30

HALF: vintages of every other ticker (`make_bases --half`); the rest are scored, every 10th session. Prints the CRPS
skill (%) of widths half the base's over the newest ridge regression's, symmetrised: mean, share of tickers above zero.
"""

import argparse
from datetime import date
from pathlib import Path

import numpy as np

from stockml.evaluation.distribution_scores import Losses
from stockml.forecasts.publishing import INITIAL_SHARE
from stockml.models.lead_grid import LEADS, moves
from stockml.models.pooled_vintages import KINDS, read
from stockml.prices.csv_import import read_folder

EVERY, FEWEST = 10, 100


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("vintages", type=Path)
    options.add_argument("--prices", type=Path, required=True)
    options.add_argument("--from", dest="first", type=date.fromisoformat, required=True)
    chosen = options.parse_args()
    series, *_ = read_folder(chosen.prices)
    earlier = {
        kind: [
            found for path in sorted(chosen.vintages.glob(each.pattern)) if (found := read(path)).through < chosen.first
        ]
        for kind, each in KINDS.items()
    }
    bases, pooled, ridge = earlier["base"], earlier["regression"][-1], earlier["ridge"][-1]
    leads, found = np.array(LEADS), {base.through: list[float]() for base in bases}
    for ticker in sorted(series)[1::2]:
        bars = series[ticker]
        first = int(np.searchsorted(bars.sessions, np.datetime64(chosen.first)))
        at = np.arange(first, len(bars) - LEADS[-1], EVERY)
        if len(at) < FEWEST:
            continue
        actual, simple = moves(bars, at, leads), ridge.quantiles(bars, at, leads, pooled)
        reference = Losses.of(simple, actual, leads)
        for base in bases:
            width = INITIAL_SHARE * base.quantiles(bars, at, leads, pooled, ridge) + (1 - INITIAL_SHARE) * simple
            found[base.through].append(100 * Losses.of(width, actual, leads).skills(reference)[0])
    for through, skills in found.items():
        share = 100 * float(np.mean(np.array(skills) > 0))
        print(f"{through}: {np.mean(skills):+.3f} % ({share:.0f} % of {len(skills)} tickers)")


if __name__ == "__main__":
    main()
