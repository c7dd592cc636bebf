"""The skill of a pretrained network as it ages: those that end before an era, against the newest such regression.

python -m tests.bench.ageing HALF --prices ../shared/kaggle-universe/Stocks --from 2011-11-30 [--to 2017-11-10]

HALF: vintages of every other ticker (`make_bases --half`); the rest are scored, every 10th session. Prints the CRPS
skill (%) of each network's widths over the newest ridge regression's, symmetrised: mean, share of tickers above zero.
A last line has those of the newest network over a constant width and shape, the ticker's own, of before the era.
"""

import argparse
from datetime import date
from pathlib import Path

import numpy as np

from stockml.evaluation.distribution_scores import Losses
from stockml.evaluation.simple_distributions import CONSTANT_WIDTH, simple_distributions
from stockml.models.lead_grid import LEADS, moves, symmetrised
from stockml.models.pooled_vintages import KINDS, read
from stockml.prices.csv_import import read_folder

EVERY, FEWEST = 10, 100


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("vintages", type=Path)
    options.add_argument("--prices", type=Path, required=True)
    options.add_argument("--from", dest="first", type=date.fromisoformat, required=True)
    options.add_argument("--to", dest="last", type=date.fromisoformat, default=date.max)
    chosen = options.parse_args()
    series, *_ = read_folder(chosen.prices)
    earlier = {
        kind: [
            found for path in sorted(chosen.vintages.glob(each.pattern)) if (found := read(path)).through < chosen.first
        ]
        for kind, each in KINDS.items()
    }
    bases, pooled, ridge = earlier["base"], earlier["regression"][-1], earlier["ridge"][-1]
    constant = "over a constant width of before the era"
    leads, found = np.array(LEADS), {key: list[float]() for key in [*(str(base.through) for base in bases), constant]}
    for ticker in sorted(series)[1::2]:
        bars = series[ticker]
        first = int(np.searchsorted(bars.sessions, np.datetime64(chosen.first)))
        last = int(np.searchsorted(bars.sessions, np.datetime64(chosen.last), side="right"))
        at = np.arange(first, min(last, len(bars) - LEADS[-1]), EVERY)
        if len(at) < FEWEST:
            continue
        actual, simple = moves(bars, at, leads), ridge.quantiles(bars, at, leads, pooled)
        reference = Losses.of(simple, actual, leads)
        for base in bases:
            losses = Losses.of(base.quantiles(bars, at, leads, pooled, ridge), actual, leads)
            found[str(base.through)].append(100 * losses.skills(reference)[0])
        frozen = simple_distributions(bars, at, leads, pooled, "own", [CONSTANT_WIDTH])[0].get(CONSTANT_WIDTH)
        if frozen is not None:
            found[constant].append(100 * losses.skills(Losses.of(symmetrised(frozen), actual, leads))[0])
    for through, skills in found.items():
        share = 100 * float(np.mean(np.array(skills) > 0))
        print(f"{through}: {np.mean(skills):+.3f} % ({share:.0f} % of {len(skills)} tickers)")


if __name__ == "__main__":
    main()
