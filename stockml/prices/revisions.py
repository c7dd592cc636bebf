"""The rows of the store as pure functions over Arrow tables: what is new in a batch, and the views over all rows.

A table's rows stand in the order in which they were recorded, and `recorded_at` never falls from one row to the next:
when the clock was set back, new rows are recorded a microsecond after the newest that is there. So the row recorded
last is the one that counts, and a view `as_of` a time stays what it was.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stockml.prices.bars import COLUMNS, Bars, days_of, make_bars
from stockml.storage.arrays import Days, Floats, Indices
from stockml.storage.table_bytes import Table

RECORDED_AT = pa.timestamp("us", tz="UTC")
BAR_SCHEMA = pa.schema(
    [("session", pa.date32())]
    + [(name, pa.float64()) for name in COLUMNS]
    + [("recorded_at", RECORDED_AT), ("source", pa.string())]
)
SPLIT_SCHEMA = pa.schema(
    [("effective", pa.date32()), ("factor", pa.float64()), ("recorded_at", RECORDED_AT), ("source", pa.string())]
)


class Counts(NamedTuple):
    """What an append found: sessions not known before, values that differ, values that are known already."""

    added: int
    restated: int
    unchanged: int


def to_record(
    table: Table | None, bars: Bars, recorded_at: datetime, source: str, rows_before: int | None = None
) -> tuple[Table | None, Counts]:
    """The table with the rows that `bars` bring, None when they bring nothing.

    A bar is unchanged when its values are the current ones, or were the known ones when it came: an old payload that is
    appended once more does not undo what was restated since. When it came is said by the rows that stood there before
    it, and by `recorded_at` where nobody counted them, which a wrong clock can spoil.
    """
    days = days_of(bars)
    values = _values(bars)
    known, equal = _compared(view(table, None, None), days, values)
    if rows_before is None or table is None:
        _, equal_then = _compared(view(table, recorded_at, None), days, values)
    else:
        _, equal_then = _compared(view(table.slice(0, rows_before), None, None), days, values)
        equal_then |= _recorded_since(table.slice(rows_before), days, values)
    unchanged = equal | equal_then
    counts = Counts(int((~known).sum()), int((known & ~unchanged).sum()), int(unchanged.sum()))
    if unchanged.all():
        return None, counts
    time = _next_time(table, recorded_at, restates=counts.restated > 0)
    return _with_rows(table, days[~unchanged], values[~unchanged], time, source), counts


def row_count(table: Table | None) -> int:
    return 0 if table is None else int(table.num_rows)


def newest_record(table: Table | None) -> datetime | None:
    return None if table is None else pc.max(table["recorded_at"]).as_py()


def recorded_then(table: Table | None, recorded_at: datetime) -> tuple[int, int]:
    """How many sessions were added, and how many restated, by the rows that were recorded at just this time."""
    return (0, 0) if table is None else _counted(table, _times(table) == stamp(recorded_at))


def recorded_since(table: Table | None, moment: datetime) -> tuple[int, int]:
    """As `recorded_then`, by the rows that were recorded at this time or later."""
    return (0, 0) if table is None else _counted(table, _times(table) >= stamp(moment))


def _counted(table: Table, rows: NDArray[np.bool_]) -> tuple[int, int]:
    """How many of these rows are their session's first, and how many are not."""
    days = _days(table, "session")
    is_first = np.zeros(len(days), bool)
    is_first[np.unique(days, return_index=True)[1]] = True
    return int((rows & is_first).sum()), int((rows & ~is_first).sum())


def view(table: Table | None, as_of: datetime | None, until: date | None) -> Bars | None:
    """The newest row of each session recorded by `as_of`, up to the session `until`; None when there is none."""
    if table is None:
        return None
    rows = _newest_rows(_days(table, "session"), _times(table), as_of, until)
    if len(rows) == 0:
        return None
    columns = {name: table[name].to_numpy()[rows] for name in COLUMNS}
    return make_bars(_days(table, "session")[rows], columns)


def first_view(table: Table | None) -> Bars | None:
    """The row of each session that was recorded first; None when there is none."""
    if table is None or table.num_rows == 0:
        return None
    days, rows = np.unique(_days(table, "session"), return_index=True)
    return make_bars(days, {name: table[name].to_numpy()[rows] for name in COLUMNS})


def restatements(table: Table | None) -> pd.DataFrame:
    """One row for each value that was changed later, in the order in which it was noticed.

    Columns: session, recorded_at, source, column, before, after.
    """
    names = ["session", "recorded_at", "source", "column", "before", "after"]
    if table is None:
        return pd.DataFrame(columns=names)
    rows = table.to_pandas(date_as_object=False)
    earlier = rows.groupby("session")[list(COLUMNS)].shift()
    again = rows.duplicated("session")
    changes = [
        (rows["session"][at], rows["recorded_at"][at], rows["source"][at], name, earlier[name][at], rows[name][at])
        for at in np.flatnonzero(again)
        for name in COLUMNS
        if not _equal(earlier[name][at], rows[name][at])
    ]
    return pd.DataFrame(changes, columns=names)


def newest_factors(table: Table | None, as_of: datetime | None) -> dict[date, float]:
    """The newest recorded factor of each effective day, oldest day first; 1.0 says "asked, no split"."""
    if table is None:
        return {}
    days, times = _days(table, "effective"), _times(table)
    rows = _newest_rows(days, times, as_of, None)
    return dict(zip(days[rows].tolist(), table["factor"].to_numpy()[rows].tolist(), strict=True))


def newest_times(table: Table | None) -> dict[date, datetime]:
    """When the newest factor of each effective day was recorded."""
    if table is None:
        return {}
    days, times = _days(table, "effective"), _times(table)
    rows = _newest_rows(days, times, None, None)
    moments = times[rows].astype("datetime64[us]").tolist()
    return {day: at.replace(tzinfo=UTC) for day, at in zip(days[rows].tolist(), moments, strict=True)}


def factors_to_record(
    table: Table | None,
    factors: Mapping[date, float],
    recorded_at: datetime,
    source: str,
    asked: Collection[date] = (),
) -> tuple[Table | None, int]:
    """The table with the factors that are new or differ, None when there is none; and how many they are.

    For the days in `asked` an equal answer of a later day is recorded too: it says until when none was known.
    """
    known, times = newest_factors(table, None), newest_times(table)
    new = {
        day: factor
        for day, factor in sorted(factors.items())
        if known.get(day) != factor or (day in asked and times[day].date() < recorded_at.date())
    }
    if not new:
        return None, 0
    time = _next_time(table, recorded_at, restates=True)
    columns = [list(new), list(new.values()), [time] * len(new), [source] * len(new)]
    return _added(table, pa.table(columns, schema=SPLIT_SCHEMA)), len(new)


def batches(table: Table | None, as_of: datetime | None, until: date | None = None) -> list[Bars]:
    """The imports, each as its own bars up to `until`, in the order in which they were recorded by `as_of`."""
    if table is None:
        return []
    times = _times(table)
    parts = []
    for time in np.unique(times):
        if as_of is None or time <= stamp(as_of):
            at = np.flatnonzero(times == time)
            parts.append(view(table.slice(int(at[0]), len(at)), None, until))
    return [part for part in parts if part is not None]


def with_batch(table: Table | None, bars: Bars, recorded_at: datetime, source: str) -> Table:
    """The table with one more import, recorded at a time of its own."""
    return _with_rows(table, days_of(bars), _values(bars), _next_time(table, recorded_at, restates=True), source)


def _values(bars: Bars) -> Floats:
    return np.column_stack([bars[name].to_numpy() for name in COLUMNS])


def _days(table: Table, column: str) -> Days:
    days: Days = table[column].to_numpy()
    return days


def _times(table: Table) -> Indices:
    times: Indices = table["recorded_at"].cast(pa.int64()).to_numpy()
    return times


def stamp(moment: datetime) -> int:
    """Microseconds since 1970; a time without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(pd.Timestamp(aware).value // 1000)


def _newest_rows(days: Days, times: Indices, as_of: datetime | None, until: date | None) -> Indices:
    rows = np.arange(len(days))
    if as_of is not None:
        rows = rows[times[rows] <= stamp(as_of)]
    if until is not None:
        rows = rows[days[rows] <= np.datetime64(until, "D")]
    if len(rows) > 1 and not (days[rows][1:] > days[rows][:-1]).all():
        rows = rows[np.lexsort((rows, times[rows], days[rows]))]
        rows = rows[np.append(days[rows][1:] != days[rows][:-1], True)]
    return rows


def _compared(current: Bars | None, days: Days, values: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For each day, whether `current` has it, and whether with these very values."""
    if current is None:
        return np.zeros(len(days), bool), np.zeros(len(days), bool)
    have = days_of(current)
    at = np.minimum(np.searchsorted(have, days), len(have) - 1)
    known = have[at] == days
    return known, known & _equal(_values(current)[at], values).all(axis=1)


def _recorded_since(rows: Table, days: Days, values: Floats) -> NDArray[np.bool_]:
    """For each day, whether its values stand in one of the rows."""
    columns = [_days(rows, "session").tolist(), *(rows[name].to_pylist() for name in COLUMNS)]
    recorded = set(zip(*columns, strict=True))
    wanted = zip(days.tolist(), values.tolist(), strict=True)
    return np.array([(day, *row) in recorded for day, row in wanted], bool)


def _equal(left: Floats, right: Floats) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (left == right) | (np.isnan(left) & np.isnan(right))
    return same


def _next_time(table: Table | None, recorded_at: datetime, *, restates: bool) -> int:
    wanted = stamp(recorded_at)
    if table is None:
        return wanted
    newest = int(_times(table).max())
    if wanted > newest or (wanted == newest and not restates):
        return wanted
    return newest + 1


def _with_rows(table: Table | None, days: Days, values: Floats, time: int, source: str) -> Table:
    columns = [
        pa.array(days),
        *(pa.array(np.ascontiguousarray(values[:, i])) for i in range(len(COLUMNS))),
        pa.array(np.full(len(days), time), pa.int64()).cast(RECORDED_AT),
        pa.array([source] * len(days), pa.string()),
    ]
    return _added(table, pa.Table.from_arrays(columns, schema=BAR_SCHEMA))


def _added(table: Table | None, rows: Table) -> Table:
    return rows if table is None else pa.concat_tables([table.replace_schema_metadata(), rows]).combine_chunks()
