"""What the chances of touching −5 % and −10 % within 20 sessions are worth: three eras, tickers not
learned from.

python -m tests.bench.touch HALF --prices ../shared/kaggle-universe [--tickers 17] [--every 5]
[--era 1999-09]

HALF: vintages of every other ticker (`make_pretrained --half`); of the rest, so many, evenly
spaced, are scored. After every session of `--every` the network pretrained before the era, which
learns nothing further, says its chances, as a night of that session would publish them without a
training. Brier skill is over the share's own frequency of the 2,500 windows before: mean over
tickers (share of them above zero, in percent). Gap: the largest between what was said and what happened, in
percentage points, by tenths of the chances of all tickers.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stockml.features.origins import within_segment
from stockml.forecasts.outlook import (
    FALLS,
    PAST_WINDOWS,
    TOUCH_SESSIONS,
    lowest_lows,
    own_frequencies,
    touch_chance,
)
from stockml.forecasts.proper_scores import brier
from stockml.models.vintage_set import VintageSet, vintage_cache
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices
from tests.bench.eras import ERAS, options_of_a_score, row_of, unseen_series

MIN_HISTORY = PAST_WINDOWS // 2
MIN_ORIGINS = 50


@dataclass(frozen=True)
class Said:
    """A ticker's chances in an era, its own frequencies, and what happened, (m,) each."""

    chance: Floats
    own: Floats
    happened: Floats

    @property
    def skill(self) -> float:
        return float(
            1 - brier(self.chance, self.happened).mean() / brier(self.own, self.happened).mean()
        )


def said(series: PriceSeries, era: str, fall: float, every: int, folder: Path) -> Said | None:
    """None for a ticker with too short a history."""
    if not len(origins := origins_of(series, era, every)):
        return None
    vintages, lows = VintageSet.ending_before(ERAS[era][0], [folder]), lowest_lows(series)
    quantiles = vintages.network_quantiles(series, origins, np.array([TOUCH_SESSIONS]))[:, 0]
    own, happened = own_frequencies(lows, origins, fall), lows[origins] <= np.log1p(-fall)
    return Said(touch_chance(quantiles, fall), own, happened.astype(np.float64))


def origins_of(series: PriceSeries, era: str, every: int) -> Indices:
    first, last = np.searchsorted(series.sessions, np.array(ERAS[era], "datetime64[D]"))
    at = np.arange(max(first, MIN_HISTORY), min(last, len(series) - TOUCH_SESSIONS), every)
    return within_segment(series, at, TOUCH_SESSIONS) if len(at) >= MIN_ORIGINS else at[:0]


def gap(chance: Floats, happened: Floats) -> float:
    """The largest difference, in percentage points, of what was said and what happened, by tenths
    of the chances."""
    parts = np.array_split(np.argsort(chance, kind="stable"), 10)
    return 100 * max(abs(chance[part].mean() - happened[part].mean()) for part in parts)


def table(found: Mapping[tuple[str, float], Sequence[Said]]) -> Iterator[str]:
    """The table as lines of Markdown; where several eras are shown, the last row is of them all."""
    yield "| from | " + " | ".join(f"−{fall:.0%} | gap" for fall in FALLS) + " |"
    yield "|---|" + "--:|--:|" * len(FALLS)
    rows = {era: {fall: found[era, fall] for fall in FALLS} for era, _ in found}
    if len(rows) > 1:
        rows["all"] = {fall: [s for era in rows for s in found[era, fall]] for fall in FALLS}
    for era, by_fall in rows.items():
        cells = []
        for each in by_fall.values():
            skills = 100 * np.array([one.skill for one in each])
            chance, happened = (
                np.concatenate([getattr(one, name) for one in each])
                for name in ("chance", "happened")
            )
            worth = f"{skills.mean():+.1f} % ({100 * (skills > 0).mean():.0f})"
            cells += [worth, f"{gap(chance, happened):.1f}"]
        yield row_of(era, cells)


@vintage_cache()
def main() -> None:
    chosen = options_of_a_score(__doc__, tickers=17, every=5).parse_args()
    unseen = unseen_series(chosen.prices, chosen.tickers).values()
    found = {}
    for era in chosen.era or ERAS:
        for fall in FALLS:
            each = [said(series, era, fall, chosen.every, chosen.half) for series in unseen]
            found[era, fall] = [one for one in each if one]
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
