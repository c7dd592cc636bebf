"""Pure functions over the store's Arrow tables: what is new in a batch, and the views over all
rows.

A missing file is an empty table. Rows are in the order in which they were recorded, and
`recorded_at` never decreases from one row to the next, nor from one of a ticker's tables to
another: if the clock was set back, new rows are stamped a microsecond after the newest one. So a
session's last row is the one that counts, and what was known when a row was recorded stays the view
`as_of` its time.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from stockml.errors import InvalidSetting
from stockml.prices.bars import COLUMNS, Bars, days_of, make_bars
from stockml.prices.split_adjustment import CENT
from stockml.storage.arrays import Days, Floats, Indices
from stockml.storage.parquet_files import Table

# in each table, at its end
HOW_RECORDED = (("recorded_at", pa.timestamp("us", tz="UTC")), ("source", pa.string()))
BAR_SCHEMA = pa.schema(
    [("session", pa.date32()), *((name, pa.float64()) for name in COLUMNS), *HOW_RECORDED]
)
MIN_MOVES = 20  # in both answers: fewer do not tell two companies apart
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SPLIT_SCHEMA = pa.schema([("effective", pa.date32()), ("factor", pa.float64()), *HOW_RECORDED])


def to_record(
    table: Table, bars: Bars, recorded_at: datetime, source: str, rows_before: int | None
) -> tuple[Table | None, tuple[int, int, int]]:
    """The table with the rows that `bars` add, None if they add none; and how many are added,
    restated, unchanged.

    A bar is unchanged if its values were current when it arrived, or at any time since: an old
    payload that is appended again does not undo a later restatement.  rows_before: the table's row
    count when it arrived; None if that is now.
    """
    days = days_of(bars)
    is_known, before = np.isin(days, _days(table, "session")), table.slice(0, rows_before)
    unchanged = _are_among(newest_rows(before), bars) | _are_among(
        every_row(table.slice(len(before))), bars
    )
    restated = int((is_known & ~unchanged).sum())
    counts = (int((~is_known).sum()), restated, int(unchanged.sum()))
    if unchanged.all():
        return None, counts
    return added(
        table, columns_of(bars[~unchanged]), recorded_at, source, restates=restated > 0
    ), counts


def recorded_between(table: Table, first: datetime, last: datetime | None) -> tuple[int, int]:
    """Of the rows recorded from `first` to `last` (None: no end), how many are their session's
    first, how many not."""
    times, days = _times(table), _days(table, "session")
    is_recorded = (times >= stamp(first)) & ((times <= stamp(last)) if last else True)
    is_first = ~pd.Index(days).duplicated()
    return int((is_recorded & is_first).sum()), int((is_recorded & ~is_first).sum())


def newest_rows(
    table: Table, as_of: datetime | None = None, until: date | None = None
) -> Bars | None:
    """Each session's newest row recorded by `as_of`, up to the session `until`; None if there is
    none."""
    return every_row(newest(table, "session", as_of, until))


def every_row(table: Table) -> Bars | None:
    """All rows in the order of their recording, sessions repeated; None if there are none."""
    columns = {name: table[name].to_numpy() for name in COLUMNS}
    return make_bars(_days(table, "session"), columns) if len(table) else None


def restated_prices(table: Table) -> pd.DatetimeIndex:
    """The sessions whose rows differ in their close or mid price."""
    rows = table.select(["session", "high", "low", "close"]).to_pandas(date_as_object=False)
    rows = rows[rows["session"].duplicated(keep=False)]
    prices = pd.DataFrame({"mid": rows["high"] + rows["low"], "close": rows["close"]})
    differ = (prices.groupby(rows["session"]).nunique() > 1).any(axis=1)
    return pd.DatetimeIndex(differ.index[differ])


def restatements(table: Table) -> pd.DataFrame:
    """One row for each value that was changed later: session, recorded_at, source, column, before,
    after."""
    rows = table.to_pandas(date_as_object=False)
    earlier = rows.groupby("session")[list(COLUMNS)].shift()
    is_repeat = rows.duplicated("session")
    changes = [
        (
            rows["session"][at],
            rows["recorded_at"][at],
            rows["source"][at],
            name,
            earlier[name][at],
            rows[name][at],
        )
        for at in np.flatnonzero(is_repeat)
        for name in COLUMNS
        if not _equal(earlier[name][at], rows[name][at])
    ]
    return pd.DataFrame(
        changes, columns=["session", "recorded_at", "source", "column", "before", "after"]
    )


def foreign_return_count(stored: Bars, answered: Bars) -> int:
    """How many daily returns `answered` restates, if most differ: another company's series. Else 0.

    A split or a dividend changes one return only, and another unit none: so most closes must
    differ, too.
    """
    closes = pd.concat([stored["close"], answered["close"]], axis=1, join="inner")
    before, after = np.log(closes[closes > 0]).dropna().to_numpy().T
    if len(before) <= MIN_MOVES:
        return 0
    moves, ratios = np.diff(before), after - before
    threshold = max(float(np.median(np.abs(moves))) / 2, CENT / answered["close"].median())
    restated = (np.abs(np.diff(ratios)) > threshold) & (moves != 0)
    is_foreign = (
        min(restated.mean(), np.mean(np.abs(ratios - np.median(ratios)) > threshold)) > 1 / 2
    )
    return int(restated.sum()) if is_foreign else 0


class Factor(NamedTuple):
    """The newest split factor recorded of a day; 1.0 means "asked, no split"."""

    factor: float
    recorded_at: datetime


def newest_factors(table: Table, as_of: datetime | None = None) -> dict[date, Factor]:
    """The newest factor of each effective day recorded by `as_of`, oldest day first."""
    rows = newest(table, "effective", as_of).to_pylist()
    return {row["effective"]: Factor(row["factor"], row["recorded_at"]) for row in rows}


def factors_to_record(
    table: Table,
    factors: Mapping[date, float],
    recorded_at: datetime,
    source: str,
    asked: Collection[date],
) -> Table | None:
    """The table with the new or changed factors added; None if there are none.

    For the days in `asked`, an equal answer of a later day is recorded too: it shows how long no
    split was listed.
    """
    stored = newest_factors(table)
    new = {
        day: factor
        for day, factor in sorted(factors.items())
        if day not in stored
        or stored[day].factor != factor
        or (day in asked and stored[day].recorded_at.date() < recorded_at.date())
    }
    if not new:
        return None
    return added(table, [list(new), list(new.values())], recorded_at, source)


def batches(table: Table, as_of: datetime | None = None, until: date | None = None) -> list[Bars]:
    """The imports recorded by `as_of`, in that order, each as its own bars up to `until`."""
    times = _times(table)
    recorded_times = [time for time in np.unique(times) if as_of is None or time <= stamp(as_of)]
    parts = [newest_rows(table.filter(times == time), until=until) for time in recorded_times]
    return [part for part in parts if part is not None]


def added(
    table: Table,
    columns: Sequence[Any],
    recorded_at: datetime,
    source: str,
    *,
    restates: bool = True,
) -> Table:
    """The table with more rows, all `recorded_at` one time, later than any before; `columns` are
    the others.

    Rows that restate nothing may have the newest time that is there.
    """
    requested, rows = stamp(recorded_at), len(columns[0])
    last = int(_times(table).max(initial=requested - 1))
    time = requested if requested > last or (requested == last and not restates) else last + 1
    new_rows = pa.table([*columns, [time] * rows, [source] * rows], schema=table.schema)
    return pa.concat_tables([table, new_rows]).combine_chunks()


def not_before(moment: datetime, others: Iterable[Table]) -> datetime:
    """The moment, or a microsecond after the newest row of other tables if that is later: the clock
    was set back."""
    newest = max(int(_times(table).max(initial=0)) for table in others)
    return moment if stamp(moment) >= newest else EPOCH + timedelta(microseconds=newest + 1)


def columns_of(bars: Bars) -> list[NDArray[Any]]:
    return [days_of(bars), *bars.to_numpy().T]


def _days(table: Table, column: str) -> Days:
    days: Days = table[column].to_numpy()
    return days


def _times(table: Table) -> Indices:
    times: Indices = table["recorded_at"].cast(pa.int64()).to_numpy()
    return times


def stamp(moment: datetime) -> int:
    """Microseconds since 1970; a time without a zone is taken as UTC. Raises InvalidSetting, also
    for a mere day."""
    if not hasattr(moment, "tzinfo"):  # a day's first or last moment?
        raise InvalidSetting("as_of", moment, "a datetime, such as datetime(2026, 11, 20, 22, 45)")
    return int(pd.Timestamp(moment).value // 1000)


def newest(table: Table, column: str, as_of: datetime | None, until: date | None = None) -> Table:
    """The last row of each day in `column`, up to `until`, of those recorded by `as_of`; oldest day
    first."""
    days, rows = _days(table, column), np.arange(len(table))
    if as_of is not None:
        rows = rows[_times(table) <= stamp(as_of)]
    if until is not None:
        rows = rows[days[rows] <= np.datetime64(until, "D")]
    rows = rows[~pd.Index(days[rows]).duplicated(keep="last")]
    return table.take(rows[np.argsort(days[rows])])


def _are_among(recorded: Bars | None, bars: Bars) -> NDArray[np.bool_]:
    """For each of the ascending bars, whether a recorded bar has its day and the same values."""
    days, is_among = days_of(bars), np.zeros(len(bars), bool)
    if recorded is not None:
        recorded = recorded[np.isin(days_of(recorded), days)]
        at = np.searchsorted(days, days_of(recorded))
        is_among[at[_equal(recorded.to_numpy(), bars.to_numpy()[at]).all(axis=1)]] = True
    return is_among


def _equal(left: Floats, right: Floats) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (left == right) | (np.isnan(left) & np.isnan(right))
    return same
