"""The series that is believed: fetched bars adjusted for splits, imported history before them, doubtful bars set aside.

Pure functions over what was recorded. Broken bars are left out before anything is computed, since a ratio or a move
made with them means nothing; doubtful ones after it, since a split may explain them.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd

from stockml.prices import split_adjustment
from stockml.prices.bars import Bars, SetAside, Split, broken, missing_sessions, without
from stockml.prices.calendar import Sessions
from stockml.prices.judgements import Judgement, settled
from stockml.prices.split_adjustment import Join
from stockml.prices.suspicion import doubtful


@dataclass(frozen=True, eq=False)
class View:
    """The series as it is believed, what of it is set aside, and how the imports were joined.

    `adjustment` identifies splits and joins: it changes when one of them changes the bars that were there before.
    """

    bars: Bars
    set_aside: tuple[SetAside, ...]
    joins: tuple[Join, ...]
    adjustment: str

    def holes(self, sessions: Sessions) -> tuple[date, ...]:
        """The sessions between the first and the last bar of which no bar was ever given, oldest first."""
        aside = {bar.session for bar in self.set_aside}
        return tuple(day for day in missing_sessions(self.bars, sessions) if day not in aside)


def view(
    ticker: str,
    fetched: Bars | None,
    imports: Sequence[Bars],
    splits: Sequence[Split],
    judged: Mapping[date, Judgement],
    *,
    sessions: Sessions,
) -> View | None:
    """None where nothing can be believed. Raises NoOverlap, UnevenOverlap."""
    bars, applied = back_adjusted(sound(fetched, sessions), splits)
    series, joins = chained(ticker, bars, imports, sessions)
    if series is None:
        return None
    adjustment = [
        [[str(split.effective), split.factor] for split in applied],
        [[str(join.cut), join.ratio] for join in joins],
    ]
    all_bars = recorded(fetched, imports, sessions)
    found = {bar.session: bar for bar in (*broken(all_bars, sessions), *doubtful(series))}
    set_aside = settled(found.values(), judged, all_bars)
    identity = hashlib.sha256(json.dumps(adjustment).encode()).hexdigest()
    return View(without(series, set_aside), set_aside, tuple(joins), identity)


def sound(bars: Bars | None, sessions: Sessions) -> Bars | None:
    """The bars that are bars by their own values; None without any."""
    kept = None if bars is None else without(bars, broken(bars, sessions))
    return None if kept is None or kept.empty else kept


def recorded(fetched: Bars | None, imports: Sequence[Bars], sessions: Sessions) -> Bars:
    """The bar of each session that counts, as recorded: as in the series, and a broken one where there is no other."""
    parts = [*_newest_last(imports), *([] if fetched is None else [fetched])]
    if len(parts) == 1:
        return parts[0]
    kept = [bars for part in parts if (bars := sound(part, sessions)) is not None]
    every = pd.concat([*parts, *kept])
    return every[~every.index.duplicated(keep="last")].sort_index()


def _newest_last(imports: Sequence[Bars]) -> list[Bars]:
    """By how far they reach towards today, and of those that reach as far by when they came."""
    return [bars for _, bars in sorted(enumerate(imports), key=lambda each: (each[1].index[-1], each[0]))]


def back_adjusted(bars: Bars | None, splits: Sequence[Split]) -> tuple[Bars | None, list[Split]]:
    """The bars in today's shares, and the splits that came after the first of them and by the last."""
    if bars is None:
        return None, []
    applied = [split for split in splits if bars.index[0].date() < split.effective <= bars.index[-1].date()]
    return split_adjustment.back_adjusted(bars, applied), applied


def chained(
    ticker: str, bars: Bars | None, imports: Sequence[Bars], sessions: Sessions
) -> tuple[Bars | None, list[Join]]:
    """Put imports before the bars one by one, those that reach furthest towards today first."""
    joins = []
    for imported in reversed(_newest_last(imports)):
        history = sound(imported, sessions)
        if history is None or bars is None:
            bars = history if bars is None else bars
            continue
        bars, join = split_adjustment.joined(ticker, history, bars, sessions)
        joins += [join] if join else []
    return bars, joins
