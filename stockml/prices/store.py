"""The Parquet store: every value that was ever recorded of a bar, one file a ticker, rows only ever
added.

`<root>/IBM.parquet` holds raw bars as traded; the same name in `splits/`, `history/` and
`judgements/` holds known splits, imported history, and a person's judgements of bars. Views are
computed on reading: the current one (each session's newest row), the one `as_of` a time, and the
adjusted one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import TypeAlias, TypeVar

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from stockml.errors import InvalidSession, NoBars, NoOverlap
from stockml.home import HomePaths
from stockml.prices import adjusted_series, revisions
from stockml.prices.adjusted_series import JUDGEMENT_SCHEMA, AdjustedSeries, joined_with_imports
from stockml.prices.bars import PRICES, Bars, Split, broken, checked, days_of, jumps
from stockml.prices.calendar import Sessions, sessions_for
from stockml.prices.revisions import BAR_SCHEMA, SPLIT_SCHEMA
from stockml.prices.split_adjustment import back_adjusted
from stockml.storage.parquet_files import Table, TableFiles
from stockml.storage.receipts import StoreReceipt
from stockml.tickers import TICKER, validated_ticker

T = TypeVar("T")
Change: TypeAlias = Callable[[Table, datetime], tuple[Table | None, T]]

SESSIONS_TO_LIST = 5
HARDLY_A_CRASH = 2.0  # an open at twice the close before, or at half, is asked about on any day
# of two splits within so few, one is the other's correction
MAX_CORRECTION_AGE = timedelta(days=10)
SCHEMAS = {
    "": BAR_SCHEMA,
    "splits/": SPLIT_SCHEMA,
    "history/": BAR_SCHEMA,
    "judgements/": JUDGEMENT_SCHEMA,
}


@dataclass(frozen=True)
class BarStore:
    """All tickers' bars in the folder `root`."""

    root: Path
    locks: Path
    calendar: str | None = None  # of every ticker; None goes by the suffix

    @classmethod
    def of(cls, home: HomePaths, calendar: str | None = None) -> "BarStore":
        return cls(home.store, home.locks, calendar)

    @cached_property
    def files(self) -> TableFiles:
        return TableFiles(self.root, self.locks)

    def path(self, ticker: str) -> str:
        return str(self.files.path(_file(ticker)))

    def side_files(self, ticker: str) -> tuple[Path, ...]:
        """The files of what adjusts the ticker's bars: its splits, its imported history, and its
        judgements."""
        return tuple(self.files.path(_file(ticker, folder)) for folder in SCHEMAS if folder)

    def tickers(self) -> tuple[str, ...]:
        """Tickers with bars or imported history, in alphabetical order; files of other names are
        ignored."""
        files = map(PurePosixPath, self.files.names())
        names = {file.stem for file in files if str(file.parent) in (".", "history")}
        return tuple(sorted(filter(TICKER.fullmatch, names)))

    def sessions(self, ticker: str) -> Sessions:
        return sessions_for(ticker, self.calendar)

    def append(
        self,
        ticker: str,
        bars: Bars,
        *,
        recorded_at: datetime,
        source: str,
        session: date,
        rows_before: int | None = None,
    ) -> StoreReceipt:
        """Record new sessions and restatements; equal bars change no byte.

        Bars that are not final at `recorded_at` are left out.  rows_before: the ticker's `rows`
        when the bars arrived; None if that is now. Raises BadPayload, StoreError.
        """
        final = self._final(ticker, bars, recorded_at)
        counts, sha256 = self._update(
            ticker,
            "",
            recorded_at,
            lambda table, at: revisions.to_record(table, final, at, source, rows_before),
        )
        return StoreReceipt(ticker, self.path(ticker), sha256, session, *counts)

    def rows(self, ticker: str) -> int:
        return len(self._table(ticker))

    def newest_record(self, ticker: str) -> datetime | None:
        """When the newest row was recorded, by the clock at that time; None without rows."""
        newest: datetime | None = pc.max(self._table(ticker)["recorded_at"]).as_py()
        return newest

    def recorded_between(
        self, ticker: str, first: datetime, last: datetime | None = None
    ) -> tuple[int, int]:
        """How many sessions were added and how many restated by rows recorded from `first` to
        `last` (None: no end)."""
        return revisions.recorded_between(self._table(ticker), first, last)

    def read(
        self, ticker: str, *, as_of: datetime | None = None, until: date | None = None
    ) -> Bars:
        """Raw bars as traded, recorded by `as_of`, up to `until`, including those set aside. Raises
        NoBars."""
        bars = revisions.newest_rows(self._table(ticker), as_of, until)
        if bars is None:
            raise self._no_bars("no bars", ticker, as_of, until, "")
        return bars

    def adjusted(
        self, ticker: str, *, as_of: datetime | None = None, until: date | None = None
    ) -> Bars:
        """The adjusted series in shares of `until`: imports, then bars, from what was recorded by
        `as_of` alone.

        Raises NoBars, HistoryError, StoreUnreadable.
        """
        return self.view(ticker, as_of=as_of, until=until).bars

    def view(
        self, ticker: str, *, as_of: datetime | None = None, until: date | None = None
    ) -> AdjustedSeries:
        """As `adjusted`, with what is set aside and how the imports were joined. Raises as
        `adjusted`."""
        fetched, imports = self._recorded(ticker, as_of, until)
        judgements = adjusted_series.newest_judgements(self._table(ticker, "judgements/"), as_of)
        series = adjusted_series.adjust_series(
            ticker,
            fetched,
            imports,
            self.splits(ticker, as_of=as_of),
            judgements,
            sessions=self.sessions(ticker),
        )
        if series is None or series.bars.empty:
            raise NoBars(
                self.path(ticker), f"no bar of {ticker} is believed{_bounds(as_of, until)}"
            )
        return series

    def judge(
        self, ticker: str, session: date, *, accepted: bool, recorded_at: datetime, source: str
    ) -> None:
        """Record that a person accepts or rejects a bar with its present prices. Raises
        InvalidSession, NoBars."""
        rows = adjusted_series.recorded(*self._recorded(ticker, None, None), self.sessions(ticker))
        bar = rows[days_of(rows) == np.datetime64(session)]
        if bar.empty:
            raise InvalidSession(str(session), f"{ticker} has no bar of it", "a session with a bar")
        if accepted and (faults := broken(bar, self.sessions(ticker))):
            why = f"{faults[0].reason}; only another bar of it can be believed"
            raise InvalidSession(str(session), why, "a sound bar")
        columns = [
            [value] for value in (session, int(accepted), *bar.iloc[0][list(PRICES)].tolist())
        ]
        self._update(
            ticker,
            "judgements/",
            recorded_at,
            lambda table, at: (revisions.added(table, columns, at, source), None),
        )

    def first_known(self, ticker: str, *, until: date | None = None) -> Bars:
        """The series with each bar's first row that is not broken. Units, errors: as `adjusted`."""
        series, rows = self.adjusted(ticker, until=until), revisions.every_row(self._table(ticker))
        if rows is not None and until is not None:
            rows = rows[days_of(rows) <= np.datetime64(until)]
        valid = adjusted_series.unbroken(rows, self.sessions(ticker))
        if valid is None:
            return series
        bars = back_adjusted(valid[~valid.index.duplicated()].sort_index(), self.splits(ticker))
        parts = [series[~series.index.isin(bars.index)], bars[bars.index.isin(series.index)]]
        return pd.concat(parts).sort_index()

    def restated_price_factors(
        self, ticker: str, *, until: date | None = None
    ) -> "pd.Series[float]":
        """Of each session whose close or mid price was restated: the price in shares of `until` for
        1 as traded."""
        restated = revisions.restated_prices(self._table(ticker))
        raw = self._raw(ticker, until) if len(restated) else None
        if raw is None:
            return pd.Series(dtype=float)
        return (back_adjusted(raw, self.splits(ticker))["close"] / raw["close"])[
            raw.index.isin(restated)
        ]

    def last_session(self, ticker: str) -> date | None:
        """The newest session with a raw bar, even a doubtful one; None without any."""
        raw = self._raw(ticker)
        return None if raw is None else raw.index[-1].date()

    def restatements(self, ticker: str) -> pd.DataFrame:
        """The values that the provider changed later: session, recorded_at, source, column, before,
        after of each."""
        return revisions.restatements(self._table(ticker))

    def splits(self, ticker: str, *, as_of: datetime | None = None) -> tuple[Split, ...]:
        """The splits recorded by `as_of`, oldest first; the newest record of a day counts."""
        factors = revisions.newest_factors(self._table(ticker, "splits/"), as_of)
        return tuple(
            Split(day, newest.factor) for day, newest in factors.items() if newest.factor != 1.0
        )

    def unexplained_jumps(self, ticker: str) -> tuple[date, ...]:
        """The sessions that still look like a split after the known ones, or that end a hole: to be
        asked about.

        Asked at once, then nightly for 5 sessions while the listed splits leave a jump, as splits
        may be listed late, or with a wrong factor at first. All splits are asked about when two
        near each other came in two answers, until one settles them: an earlier version kept a split
        on its first day and on the corrected one.
        """
        if (raw := self._raw(ticker)) is None:
            return ()
        days, sessions = days_of(raw), self.sessions(ticker)
        answers = revisions.newest_factors(self._table(ticker, "splits/"))
        splits = {
            day: answer.recorded_at for day, answer in answers.items() if answer.factor != 1.0
        }
        pairs = combinations(splits, 2)
        hole_ends = set(days[1:][np.diff(sessions.before_each(days)) > SESSIONS_TO_LIST].tolist())
        suspects = {
            *jumps(back_adjusted(raw, self.splits(ticker)), HARDLY_A_CRASH),
            *(hole_ends - splits.keys()),
        }
        is_disputed = any(
            abs(one - two) <= MAX_CORRECTION_AGE and splits[one] != splits[two]
            for one, two in pairs
        )

        def is_settled(jump: date) -> bool:
            if (answer := answers.get(jump)) is None:
                return False
            listed_by = sessions.after(jump, SESSIONS_TO_LIST)[-1]
            seen = sessions.last_final(answer.recorded_at)
            # most holes have no split: they are asked twice
            waits = jump in hole_ends and days[-1].item() <= listed_by
            return seen > listed_by or seen >= days[-1].item() or waits

        return tuple(
            sorted(
                {
                    *(splits if is_disputed else ()),
                    *(jump for jump in suspects if not is_settled(jump)),
                }
            )
        )

    def record_splits(
        self,
        ticker: str,
        splits: Sequence[Split],
        *,
        recorded_at: datetime,
        source: str,
        asked: Sequence[date] = (),
    ) -> None:
        """Record the provider's splits.

        asked: the days asked about; one without a listed or known split is recorded with factor 1.
        So is the day of a known split, if another one is listed near it: its day was corrected.
        """
        listed = {split.effective: split.factor for split in splits}

        def with_factors(table: Table, at: datetime) -> tuple[Table | None, None]:
            stored = revisions.newest_factors(table)
            corrected = [
                day
                for day in stored
                if any(abs(day - other) <= MAX_CORRECTION_AGE for other in listed)
            ]
            answers = {day: stored[day].factor if day in stored else 1.0 for day in asked}
            factors = answers | dict.fromkeys(corrected, 1.0) | listed
            return revisions.factors_to_record(table, factors, at, source, asked), None

        self._update(ticker, "splits/", recorded_at, with_factors)

    def rename(self, old: str, new: str, *, only_check: bool = False) -> bool:
        """Move everything stored for `old` to `new`; False if nothing is. Raises StoreError if
        `new` has rows."""
        moved = [
            self.files.rename(
                _file(old, folder), _file(new, folder), (old, new), schema, only_check=only_check
            )
            for folder, schema in SCHEMAS.items()
        ]
        return any(moved)

    def record_import(self, ticker: str, bars: Bars, *, recorded_at: datetime, source: str) -> bool:
        """Record already adjusted history; False if it is there. Raises BadPayload, NoOverlap,
        InconsistentOverlap."""
        history = self._final(ticker, bars, recorded_at)

        def with_import(table: Table, at: datetime) -> tuple[Table | None, bool]:
            batches = revisions.batches(table)
            same_end = [batch for batch in batches if batch.index[-1] == history.index[-1]]
            if same_end and history.equals(same_end[-1]):  # the newest import counts
                return None, False
            raw = self._raw(ticker)
            adjusted = None if raw is None else back_adjusted(raw, self.splits(ticker))
            series, _ = joined_with_imports(
                ticker, adjusted, [*batches, history], self.sessions(ticker), new=history
            )
            series = history if series is None else series
            later = days_of(series[series.index > history.index[-1]]).tolist()
            # in a hole: no overlap gives its ratio
            if later and not np.isin(days_of(history), days_of(series)).any():
                raise NoOverlap(
                    ticker, self.sessions(ticker).between(history.index[-1].date(), later[0])[1:]
                )
            return revisions.added(table, revisions.columns_of(history), at, source), True

        return self._update(ticker, "history/", recorded_at, with_import)[0]

    def _final(self, ticker: str, bars: Bars, now: datetime) -> Bars:
        sessions = self.sessions(ticker)
        is_final = days_of(bars) <= np.datetime64(sessions.last_final(now), "D")
        return checked(ticker, bars[is_final], sessions)

    def _table(self, ticker: str, folder: str = "") -> Table:
        return self.files.read(_file(ticker, folder), ticker, SCHEMAS[folder])

    def _update(
        self, ticker: str, folder: str, recorded_at: datetime, change: Change[T]
    ) -> tuple[T, str]:
        """`change` gets the table and the time to record rows at: never before another table's
        newest row."""

        def changed(table: Table) -> tuple[Table | None, T]:
            others = [self._table(ticker, other) for other in SCHEMAS if other != folder]
            return change(table, revisions.not_before(recorded_at, others))

        return self.files.update(_file(ticker, folder), ticker, SCHEMAS[folder], changed)

    def _raw(self, ticker: str, until: date | None = None) -> Bars | None:
        """The raw bars that are not broken; None if there are none."""
        return adjusted_series.unbroken(
            revisions.newest_rows(self._table(ticker), until=until), self.sessions(ticker)
        )

    def _recorded(
        self, ticker: str, as_of: datetime | None, until: date | None
    ) -> tuple[Bars | None, list[Bars]]:
        """The fetched bars, and the imports; at least one of them. Raises NoBars."""
        fetched = revisions.newest_rows(self._table(ticker), as_of, until)
        imports = revisions.batches(self._table(ticker, "history/"), as_of, until)
        if fetched is None and not imports and until:
            later, imports = self._recorded(ticker, as_of, None)
            first = min(bars.index[0] for bars in (later, *imports) if bars is not None)
            why = f"the first bar of {ticker} is of {first:%Y-%m-%d}, after {until}"
            raise NoBars(
                self.path(ticker),
                why,
                "name a later session, or bring history with `stockml import`",
            )
        if fetched is None and not imports:
            raise self._no_bars("no bars and no history", ticker, as_of, until, "", "history/")
        return fetched, imports

    def _no_bars(
        self, what: str, ticker: str, as_of: datetime | None, until: date | None, *folders: str
    ) -> NoBars:
        """The refusal; where `as_of` is before the first record of `folders`, it names that
        time."""
        times = sorted(
            filter(
                None, (pc.min(self._table(ticker, each)["recorded_at"]).as_py() for each in folders)
            )
        )
        is_early = as_of and times and revisions.stamp(as_of) < revisions.stamp(times[0])
        advice = (
            (f"name {times[0]} or a later time: the first was recorded then",) if is_early else ()
        )
        return NoBars(self.path(ticker), f"{what} of {ticker}{_bounds(as_of, until)}", *advice)


def _file(ticker: str, folder: str = "") -> str:
    return f"{folder}{validated_ticker(ticker)}.parquet"


def _bounds(as_of: datetime | None, until: date | None) -> str:
    return (f" recorded by {as_of}" if as_of else "") + (f" up to {until}" if until else "")
