"""The adjusted series: fetched bars adjusted for splits, imported history before them, doubtful
bars set aside; and as arrays, what a model sees: nothing later than its last session.

Pure functions over recorded bars. Broken bars are left out first, since a ratio or a move that
involves one means nothing; doubtful ones last, since a split may explain them. A person judges a
bar's prices, not its day: once the bar is restated, the rules decide again.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa

from stockml.errors import InconsistentOverlap, InvalidFile
from stockml.prices import split_adjustment
from stockml.prices.bars import (
    COLUMNS,
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
from stockml.storage.arrays import Days, Floats
from stockml.storage.files import write_atomically
from stockml.storage.parquet_files import Table


@dataclass(frozen=True, eq=False)
class PriceSeries:
    """Split-adjusted bars as arrays: sessions (n,) datetime64[D] ascending, prices and volume (n,)
    float64."""

    sessions: Days
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    _full: ClassVar["PriceSeries | None"] = (
        None  # the series that `until` cut this from; `replace` drops it
    )

    @classmethod
    def from_bars(cls, bars: pd.DataFrame) -> "PriceSeries":
        """From a frame with sessions as DatetimeIndex; columns open, high, low, close, volume.
        Raises TypeError."""
        if not isinstance(bars.index, pd.DatetimeIndex):  # row numbers would be days since 1970
            raise TypeError(
                f"expected bars with sessions as DatetimeIndex, found {type(bars.index).__name__}"
            )
        prices = {name: bars[name].to_numpy(dtype=np.float64, copy=True) for name in COLUMNS}
        return cls(sessions=bars.index.to_numpy().astype("datetime64[D]"), **prices)

    def __len__(self) -> int:
        return len(self.sessions)

    @property
    def mid(self) -> Floats:
        """(n,) mid prices, (high + low) / 2: what the tutorial forecasts."""
        return (self.high + self.low) / 2

    @property
    def whole(self) -> "PriceSeries":
        """The series that `until` cut this from, or itself; only for what looks at no later
        session."""
        return self if self._full is None else self._full

    def until(self, n: int) -> "PriceSeries":
        """The first `n` sessions: the series as it stood after the close of session n - 1."""
        return self.between(0, n)

    def through(self, day: date | np.datetime64) -> "PriceSeries":
        """The series as it stood after the close of `day`, a session or not."""
        return self.until(int(np.searchsorted(self.sessions, np.datetime64(day), side="right")))

    def between(self, start: int, stop: int) -> "PriceSeries":
        """The sessions from `start` up to but not including `stop`; where these are all, the series
        itself."""
        if start == 0 and stop >= len(self):
            return self  # what is cached by identity need not be computed again
        part = slice(start, stop)
        series = PriceSeries(self.sessions[part], *(getattr(self, name)[part] for name in COLUMNS))
        if start == 0:
            object.__setattr__(series, "_full", self.whole)
        return series

    def write(self, path: Path) -> None:
        """Write as Parquet, atomically; equal series give equal bytes."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = [self.sessions, *(getattr(self, name) for name in COLUMNS)]
        content = BytesIO()
        pq.write_table(pa.table(columns, names=["session", *COLUMNS]), content, compression="zstd")
        write_atomically(path, content.getvalue())

    @classmethod
    def read(cls, path: Path) -> "PriceSeries":
        """Read what `write` wrote: a read-only series, cached while the file is unchanged. Raises
        InvalidFile."""
        try:
            stat = path.stat()
            return _read(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        except (OSError, KeyError, ValueError) as error:
            raise InvalidFile(
                str(path), f"expected a price series in Parquet, found {error}"
            ) from error


@lru_cache(maxsize=1)  # a process does one night at a time
def _read(path: Path, *version: int) -> PriceSeries:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns = [table[name].to_numpy() for name in ("session", *COLUMNS)]
    for column in columns:
        column.flags.writeable = False
    return PriceSeries(*columns)


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
