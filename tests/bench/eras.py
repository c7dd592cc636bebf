"""What a night's forecast of closes is worth: three eras, tickers that nothing was learned from.

python -m tests.bench.eras HALF --prices ../shared/kaggle-universe [--tickers 10] [--every 20]
[--train-every 250]

HALF: vintages of every other ticker (`make_pretrained --half`); of the rest, so many, evenly
spaced, are scored. Every session of `--every` is a night as the product would have run it, which
trains anew after `--train-every` sessions and keeps its model between. CRPS is symmetrised, in
percent: mean over tickers (share of them above zero).
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from stockml.errors import StockmlError
from stockml.evaluation.backtest import Span, run_nights, splits_of_nights
from stockml.evaluation.distribution_scores import Losses
from stockml.features.volatility import Volatilities
from stockml.forecasts.proper_scores import COVERAGES, band
from stockml.models.regressions import LEADS, LEVELS, moves, symmetrised
from stockml.models.vintage_set import VintageSet, vintage_cache
from stockml.prices.csv_import import read_folder
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
from stockml.storage.arrays import Floats, Indices

ERAS = {
    "1999-09": (date(1999, 9, 30), date(2005, 9, 15)),
    "2005-09": (date(2005, 9, 30), date(2011, 9, 15)),
    "2011-11": (date(2011, 11, 30), date(2017, 11, 10)),
}
SHOWN = (1, 5, 20)
ONE_IN_TWENTY = 0.05
AT = int(np.flatnonzero(np.isclose(LEVELS, ONE_IN_TWENTY))[0])
HISTORY = 500  # sessions of historical simulation


@dataclass(frozen=True)
class TickerEra:
    """One ticker in one era.  gains: CRPS skills.  below, held: outcomes by lead of SHOWN; all
    leads.  tick: skills."""

    gains: Mapping[str, float]
    below: Mapping[int, tuple[int, int]]
    held: tuple[int, int]
    tick: Mapping[tuple[str, int], float]
    used: float


def measured(series: PriceSeries, span: Span, settings: Settings, folders: list[Path]) -> TickerEra:
    """Run a ticker's nights and score what they publish.  Raises as `backtest`."""
    splits = splits_of_nights(series, span, settings, folders)
    origins, leads = np.array(list(splits)), np.array(LEADS)
    nights, published, ridge = run_nights(series, splits, span, settings, folders)
    sets = [VintageSet.ending_before(series.sessions[at].item(), folders) for at in origins]
    pretrained = [
        each.network_quantiles(series, origins[[row]], leads)[0] for row, each in enumerate(sets)
    ]
    pooled = [
        each.regression.quantiles(series, origins[[row]], leads)[0] for row, each in enumerate(sets)
    ]
    actual = moves(series, origins, leads)
    rows = {"published": published[:, leads - 1], "ridge": ridge[:, leads - 1]}
    rows |= {"pretrained": np.array(pretrained), "pooled": np.array(pooled)}
    losses = {name: Losses.of(symmetrised(each), actual, leads) for name, each in rows.items()}
    ours = losses["published"]
    of = {"training adds": "pretrained", "network adds": "ridge", "over the regression": "pooled"}
    low, high = band(rows["published"], COVERAGES[1])
    inside = (low <= actual) & (actual <= high)
    below, tick = {}, {}
    for lead in SHOWN:
        outcome, quantile = actual[:, LEADS.index(lead)], published[:, lead - 1, AT]
        below[lead] = int((outcome < quantile).sum()), len(outcome)
        for name, other in simple_quantiles(series, origins, lead).items():
            tick[name, lead] = 1 - tick_loss(quantile, outcome) / tick_loss(other, outcome)
    return TickerEra(
        {what: ours.skills(losses[reference])[0] for what, reference in of.items()},
        below,
        (int(inside.sum()), inside.size),
        tick,
        float(np.mean([night.mode != "keep" for night in nights])),
    )


def simple_quantiles(series: PriceSeries, origins: Indices, lead: int) -> dict[str, Floats]:
    """(m,) 5 % quantiles of the move: of the past 500 sessions' moves, and of a normal of the EWMA
    60 volatility."""
    close = np.log(series.close)
    past = [
        close[at - HISTORY + lead : at + 1] - close[at - HISTORY : at + 1 - lead] for at in origins
    ]
    normal = -1.6448536 * Volatilities.of(series).ewma_60[origins] * np.sqrt(lead)
    simulated = np.array([np.quantile(each, ONE_IN_TWENTY) for each in past])
    return {"historical simulation": simulated, "normal EWMA 60": normal}


def tick_loss(quantile: Floats, outcome: Floats) -> float:
    return float(((ONE_IN_TWENTY - (outcome < quantile)) * (outcome - quantile)).mean())


def table(found: Mapping[str, list[TickerEra]]) -> Iterator[str]:
    """The table as lines of Markdown."""
    eras = list(found.values())
    heads = [f"from {era}, {len(each)} tickers" for era, each in found.items()]
    yield row_of("", heads)
    yield "|---|" + "--:|" * len(found)
    for what in ("training adds", "network adds", "over the regression"):
        gains = [100 * np.array([one.gains[what] for one in each]) for each in eras]
        cells = [f"{each.mean():+.2f} % ({100 * (each > 0).mean():.0f})" for each in gains]
        yield row_of(f"{what}, CRPS", cells)
    for lead in SHOWN:
        sums = [np.sum([one.below[lead] for one in each], axis=0) for each in eras]
        below = [f"{100 * a / b:.1f} %" for a, b in sums]
        yield row_of(f"closes below the 5 % quantile, lead {lead}", below)
    for name in ("historical simulation", "normal EWMA 60"):
        for lead in SHOWN:
            ticks = [np.mean([one.tick[name, lead] for one in each]) for each in eras]
            cells = [f"{100 * each:+.1f} %" for each in ticks]
            yield row_of(f"tick loss over {name}, lead {lead}", cells)
    held = [np.sum([one.held for one in each], axis=0) for each in eras]
    yield row_of("80 % band held, pooled", [f"{100 * a / b:.1f} %" for a, b in held])
    used = [100 * np.mean([one.used for one in each]) for each in eras]
    yield row_of("nights that used a fine-tuned network", [f"{each:.0f} %" for each in used])


def row_of(name: str, cells: list[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def options_of_a_score(described: str, *, tickers: int, every: int) -> argparse.ArgumentParser:
    """What to score on, as `eras` and `touch` are asked it."""
    options = argparse.ArgumentParser(
        description=described, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("half", type=Path)
    options.add_argument("--prices", type=Path, required=True)
    options.add_argument("--tickers", type=int, default=tickers)
    options.add_argument("--every", type=int, default=every)
    options.add_argument("--era", action="append", choices=[*ERAS])
    return options


def unseen_series(prices: Path, count: int) -> dict[str, PriceSeries]:
    """So many tickers, evenly spaced, of those from which a HALF learned nothing."""
    series, *_ = read_folder(prices)
    unseen = sorted(series)[1::2]
    at = np.linspace(0, len(unseen) - 1, count).astype(int)
    return {name: series[name] for name in (unseen[each] for each in at)}


@vintage_cache()
def main() -> None:
    options = options_of_a_score(__doc__, tickers=10, every=20)
    options.add_argument("--train-every", type=int, default=250)
    chosen = options.parse_args()
    unseen = unseen_series(chosen.prices, chosen.tickers)
    found: dict[str, list[TickerEra]] = {}
    for era in chosen.era or ERAS:
        span = Span(*ERAS[era], every=chosen.every, train_every=chosen.train_every)
        found[era] = []
        for name, series in unseen.items():
            try:
                found[era].append(measured(series, span, Settings(), [chosen.half]))
            except StockmlError as refusal:
                print(f"{era}, {name} left out: {refusal}", file=sys.stderr, flush=True)
                continue
            gains = ", ".join(
                f"{what} {100 * gain:+.3f} %" for what, gain in found[era][-1].gains.items()
            )
            print(f"{era}, {name}: {gains}", file=sys.stderr, flush=True)
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
