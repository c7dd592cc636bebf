"""The adjusted series: fetched bars adjusted for splits, imported history before them, doubtful
bars set aside.

Pure functions over recorded bars. Broken bars are left out first, since a ratio or a move that
involves one means nothing; doubtful ones last, since a split may explain them. A person judges a
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
from stockml.prices.bars import (
    PRICES,
    Bars,
    SetAside,
    Split,
    broken,
    days_of,
    is_broken,
    without_set_aside,
)
from stockml.prices.calendar import Sessions
from stockml.prices.revisions import HOW_RECORDED, newest
from stockml.prices.screening import doubtful, with_unknown_volumes
from stockml.prices.split_adjustment import Join
from stockml.storage.parquet_files import Table

JUDGEMENT_SCHEMA = pa.schema(
    [
        ("session", pa.date32()),
        ("accepted", pa.int64()),
        *((name, pa.float64()) for name in PRICES),
        *HOW_RECORDED,
    ]
)


@dataclass(frozen=True)
class Judgement:
    """A person's judgement of a bar. `prices` are the recorded open, high, low and close that were
    judged."""

    accepted: bool
    prices: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class AdjustedSeries:
    """The adjusted bars, those set aside, how imports were joined, and the listed splits that no
    bar shows."""

    bars: Bars
    set_aside: tuple[SetAside, ...]
    joins: tuple[Join, ...]
    adjustment: (
        str  # hash of the splits and joins applied: changes when one of them changes earlier bars
    )
    contradicted: tuple[Split, ...]

    def holes(self, sessions: Sessions) -> tuple[date, ...]:
        """The sessions between the first and last bar that have no bar, oldest first: reported,
        never filled in."""
        days = days_of(self.bars).tolist()
        recorded = {*days, *(bar.session for bar in self.set_aside)}
        return tuple(day for day in sessions.between(days[0], days[-1]) if day not in recorded)


def adjust_series(
    ticker: str,
    fetched: Bars | None,
    imports: Sequence[Bars],
    splits: Sequence[Split],
    judgements: Mapping[date, Judgement],
    *,
    sessions: Sessions,
) -> AdjustedSeries | None:
    """The series made of recorded bars; None if all are broken. Raises NoOverlap,
    InconsistentOverlap."""
    raw = unbroken(fetched, sessions)
    applied, contradicted = ([], []) if raw is None else split_adjustment.effective(raw, splits)
    bars = None if raw is None else split_adjustment.back_adjusted(raw, applied)
    series, joins = joined_with_imports(ticker, bars, imports, sessions)
    if series is None:
        return None
    series = with_unknown_volumes(series)
    adjustment = [
        [(split.effective, split.factor) for split in applied],
        [(join.cut, join.ratio) for join in joins],
    ]
    rows = pd.concat([*imports, fetched])
    faults = [*broken(rows[~rows.index.isin(series.index)], sessions), *doubtful(series)]
    set_aside = _judged(faults, judgements, recorded(fetched, imports, sessions))
    identity = hashlib.sha256(json.dumps(adjustment, default=str).encode()).hexdigest()
    return AdjustedSeries(
        without_set_aside(series, set_aside), set_aside, tuple(joins), identity, tuple(contradicted)
    )


def unbroken(bars: Bars | None, sessions: Sessions) -> Bars | None:
    """The bars that are not broken; None if there are none."""
    valid = None if bars is None else bars[~is_broken(bars, sessions)]
    return None if valid is None or valid.empty else valid


def recorded(fetched: Bars | None, imports: Sequence[Bars], sessions: Sessions) -> Bars:
    """Each session's recorded bar, as the series uses it; a broken one if the session has no
    other."""
    parts = [*_by_last_session(imports), *([] if fetched is None else [fetched])]
    if len(parts) == 1:
        return parts[0]
    valid = [bars for part in parts if (bars := unbroken(part, sessions)) is not None]
    rows = pd.concat([*parts, *valid])
    return rows[~rows.index.duplicated(keep="last")].sort_index()


def _by_last_session(imports: Sequence[Bars]) -> list[Bars]:
    """The imports by last session; those with the same one, in order of arrival."""
    return sorted(imports, key=lambda bars: bars.index[-1])


def joined_with_imports(
    ticker: str,
    bars: Bars | None,
    imports: Sequence[Bars],
    sessions: Sessions,
    *,
    new: Bars | None = None,
) -> tuple[Bars | None, list[Join]]:
    """The bars with the imports before them, joined from the newest last session backwards; and the
    joins.

    An import that begins within the bars and does not fit them is skipped, unless it is `new`: an
    earlier version recorded such imports without using them. Raises NoOverlap, InconsistentOverlap.
    """
    joins = []
    for imported in reversed(_by_last_session(imports)):
        history = unbroken(imported, sessions)
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


def _judged(
    faults: Collection[SetAside], judgements: Mapping[date, Judgement], recorded: Bars
) -> tuple[SetAside, ...]:
    """The bars set aside: the faults but those accepted, and the bars rejected, at the prices in
    `recorded`."""
    accepted = {
        day: judgement.accepted
        for day, judgement in judgements.items()
        if tuple(recorded.loc[str(day) : str(day), list(PRICES)].to_numpy().ravel().tolist())
        == judgement.prices
    }
    set_aside = {day: SetAside(day, "rejected by hand") for day in accepted if not accepted[day]}
    set_aside |= {bar.session: bar for bar in faults if bar.broken or not accepted.get(bar.session)}
    return tuple(set_aside[day] for day in sorted(set_aside))
