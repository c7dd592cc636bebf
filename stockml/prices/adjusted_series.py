"""The believed series: fetched bars adjusted for splits, imported history before them, doubtful bars set aside.

Pure functions over what was recorded. Broken bars are left out before anything is computed, since a ratio or a move
that involves one means nothing; doubtful ones are left out last, since a split may explain them. A person judges a
bar's prices, not its day: once the bar is restated, the rules decide again.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import pandas as pd
import pyarrow as pa

from stockml.errors import InconsistentOverlap
from stockml.prices import split_adjustment
from stockml.prices.bars import PRICES, Bars, SetAside, Split, broken, days_of, is_broken, without
from stockml.prices.calendar import Sessions
from stockml.prices.revisions import HOW_RECORDED, newest
from stockml.prices.screening import doubtful
from stockml.prices.split_adjustment import Join
from stockml.storage.parquet_files import Table

JUDGEMENT_SCHEMA = pa.schema(
    [("session", pa.date32()), ("accepted", pa.int64()), *((name, pa.float64()) for name in PRICES), *HOW_RECORDED]
)


@dataclass(frozen=True)
class Judgement:
    """A person's judgement of a bar. `prices` are the recorded open, high, low and close that were judged."""

    accepted: bool
    prices: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class AdjustedSeries:
    """The believed series, the bars set aside, how imports were joined, and the listed splits that no bar shows."""

    bars: Bars
    set_aside: tuple[SetAside, ...]
    joins: tuple[Join, ...]
    adjustment: str  # hash of the splits and joins applied: changes when one of them changes earlier bars
    contradicted: tuple[Split, ...]

    def holes(self, sessions: Sessions) -> tuple[date, ...]:
        """The sessions between the first and last bar that have no bar, oldest first: reported, never filled in."""
        days = days_of(self.bars).tolist()
        given = {*days, *(bar.session for bar in self.set_aside)}
        return tuple(day for day in sessions.between(days[0], days[-1]) if day not in given)


def believed_series(
    ticker: str,
    fetched: Bars | None,
    imports: Sequence[Bars],
    splits: Sequence[Split],
    judged: Mapping[date, Judgement],
    *,
    sessions: Sessions,
) -> AdjustedSeries | None:
    """The view of what was recorded; None if that is nothing but broken bars. Raises NoOverlap, InconsistentOverlap."""
    raw = sound(fetched, sessions)
    applied, contradicted = ([], []) if raw is None else split_adjustment.effective(raw, splits)
    bars = None if raw is None else split_adjustment.back_adjusted(raw, applied)
    series, joins = chained(ticker, bars, imports, sessions)
    if series is None:
        return None
    adjustment = [[(split.effective, split.factor) for split in applied], [(join.cut, join.ratio) for join in joins]]
    every = pd.concat([*imports, fetched])
    found = [*broken(every[~every.index.isin(series.index)], sessions), *doubtful(series)]
    set_aside = _settled(found, judged, recorded(fetched, imports, sessions))
    identity = hashlib.sha256(json.dumps(adjustment, default=str).encode()).hexdigest()
    return AdjustedSeries(without(series, set_aside), set_aside, tuple(joins), identity, tuple(contradicted))


def sound(bars: Bars | None, sessions: Sessions) -> Bars | None:
    """The bars that are not broken; None if there are none."""
    kept = None if bars is None else bars[~is_broken(bars, sessions)]
    return None if kept is None or kept.empty else kept


def recorded(fetched: Bars | None, imports: Sequence[Bars], sessions: Sessions) -> Bars:
    """The recorded bar of each session that the series is made of; a broken one if the session has no other."""
    parts = [*_newest_last(imports), *([] if fetched is None else [fetched])]
    if len(parts) == 1:
        return parts[0]
    kept = [bars for part in parts if (bars := sound(part, sessions)) is not None]
    every = pd.concat([*parts, *kept])
    return every[~every.index.duplicated(keep="last")].sort_index()


def _newest_last(imports: Sequence[Bars]) -> list[Bars]:
    """The imports by their last session, and with the same one in the order of their arrival."""
    return sorted(imports, key=lambda bars: bars.index[-1])


def chained(
    ticker: str, bars: Bars | None, imports: Sequence[Bars], sessions: Sessions, *, new: Bars | None = None
) -> tuple[Bars | None, list[Join]]:
    """Put the imports before the bars one by one, the one with the newest last session first; return the joins too.

    An import that begins within the bars and does not fit them is skipped, unless it is `new`: an earlier version
    recorded such imports without using them. Raises NoOverlap, InconsistentOverlap.
    """
    joins = []
    for imported in reversed(_newest_last(imports)):
        history = sound(imported, sessions)
        if history is None or bars is None:
            bars = history if bars is None else bars
            continue
        try:
            bars, join = split_adjustment.joined(ticker, history, bars, sessions)
        except InconsistentOverlap:
            if imported is new or history.index[0] < bars.index[0]:
                raise
            continue
        joins += [join] if join else []
    return bars, joins


def newest_judgements(table: Table, as_of: datetime | None) -> dict[date, Judgement]:
    """Each session's newest judgement recorded by `as_of`."""
    return {
        row["session"]: Judgement(bool(row["accepted"]), tuple(row[name] for name in PRICES))
        for row in newest(table, "session", as_of).to_pylist()
    }


def _settled(found: Collection[SetAside], judgements: Mapping[date, Judgement], recorded: Bars) -> tuple[SetAside, ...]:
    """The bars set aside, once judgements of the prices in `recorded` have taken out some and added others."""
    accepted = {
        day: judgement.accepted
        for day, judgement in judgements.items()
        if tuple(recorded.loc[str(day) : str(day), list(PRICES)].to_numpy().ravel().tolist()) == judgement.prices
    }
    kept = {day: SetAside(day, "rejected by hand") for day in accepted if not accepted[day]}
    kept |= {bar.session: bar for bar in found if bar.broken or not accepted.get(bar.session)}
    return tuple(kept[day] for day in sorted(kept))
