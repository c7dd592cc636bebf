"""The ledger: every published forecast, and how it turned out.

One Parquet file per ticker, one row per lead of a path, readable by pandas, DuckDB and Polars
without this project. Only what was published is stored; errors are computed from the bars on
demand. Never here: a row that is changed or removed, or a model.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from stockml.errors import InvalidForecast, NoForecast, StoreError
from stockml.forecasts.forecast import Band, Forecast
from stockml.forecasts.ledger_scores import (
    RealisedScores,
    Timing,
    one_forecast_per_session,
    scored_steps,
    scores_of,
    timing_of,
)
from stockml.forecasts.proper_scores import BANDS
from stockml.prices.calendar import Sessions
from stockml.prices.series import PriceSeries
from stockml.storage.files import sha256_of, write_atomically
from stockml.storage.locks import file_lock
from stockml.storage.os_errors import unreadable
from stockml.storage.parquet_files import CHECKSUM_KEY, NUMBERS_KEY, as_bytes, from_bytes
from stockml.storage.receipts import Receipt
from stockml.tickers import validated_ticker

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("session", pa.date32()),
        ("published_at", pa.timestamp("us", tz="UTC")),
        ("run_id", pa.string()),
        ("model_version", pa.string()),
        ("last_value", pa.float64()),
        ("weight", pa.float64()),
        ("probability_of_rise", pa.float64()),
        ("direction_step", pa.int32()),
        ("lead", pa.int32()),
        ("due", pa.date32()),
        ("path", pa.float64()),
        *((f"{side}_{band}", pa.float64()) for band in BANDS for side in ("low", "high")),
        ("price", pa.string()),
    ]
)
# of earlier versions, whose forecasts were of these
OF_MID_PRICES = SCHEMA.remove(SCHEMA.get_field_index("price"))


@dataclass(frozen=True)
class LedgerEntry:
    """One night's published forecast. `published_at` has its UTC offset; run and version are None
    without MLflow."""

    ticker: str
    key: str
    published_at: datetime
    forecast: Forecast
    run_id: str | None = None
    model_version: str | None = None

    def timing(self, sessions: Sessions) -> Timing:
        """Whether it is live, late or backfilled, by the hours of the ticker's exchange."""
        return timing_of(self.published_at, self.forecast.sessions[0], sessions)


@dataclass(frozen=True)
class Ledger:
    """The ledgers in one folder, one file per ticker."""

    folder: Path
    lock_timeout_s: float = 60.0

    def file(self, ticker: str) -> Path:
        return self.folder / f"{validated_ticker(ticker)}.parquet"

    def publish(self, entry: LedgerEntry) -> Receipt:
        """Append the entry, unless its key is already there.  Raises InvalidForecast,
        RecordUnreadable, StoreBusy."""
        path = self.file(entry.ticker)
        rows = _rows(entry)
        with self._lock(entry.ticker):
            table = self._table(entry.ticker)
            if entry.key not in table["key"].to_pylist():
                write_atomically(path, as_bytes(pa.concat_tables([table, rows]), entry.ticker))
            return Receipt(entry.ticker, str(path), sha256_of(path) or "")

    def rename(self, old: str, new: str) -> bool:
        """Move the forecasts of `old` to `new`; False where there are none.  Raises as
        `check_free`, and StoreBusy."""
        before, after = self.file(old), self.file(new)
        with self._lock(old), self._lock(new):
            if not before.exists():
                return False
            self.check_free(old, new)
            write_atomically(after, as_bytes(self._table(old), new))
            before.unlink()
            return True

    def check_free(self, old: str, new: str) -> None:
        """Raise StoreError where `new` has forecasts that `old` has not; RecordUnreadable."""
        if self.file(old).exists():
            existing = self._table(new)
            if not existing.equals(self._table(old)[: len(existing)]):
                found = (
                    f"expected nothing there yet, found forecasts beside {self.file(old)}; move "
                    "one of them away"
                )
                raise StoreError(str(self.file(new)), found)

    def _lock(self, ticker: str) -> AbstractContextManager[None]:
        path = self.file(ticker)
        return file_lock(path.with_name(f".{path.name}.lock"), self.lock_timeout_s)

    def entries(self, ticker: str) -> tuple[LedgerEntry, ...]:
        """Everything ever published, in the order of publishing.  Raises RecordUnreadable."""
        return entries_of(ticker, self.steps(ticker))

    def last_session(self, ticker: str) -> date | None:
        """The newest session after which a forecast was published.  Raises RecordUnreadable."""
        newest: date | None = pc.max(self._table(ticker)["session"]).as_py()
        return newest

    def steps(self, ticker: str) -> pd.DataFrame:
        """The file's rows, one per step; dates are naive midnights.  Raises RecordUnreadable."""
        return _steps(self._table(ticker))

    def newest(self, ticker: str) -> pd.DataFrame:
        """The `steps` of the newest forecast, among equals the last.  Raises NoForecast,
        RecordUnreadable."""
        if (steps := self.steps(ticker)).empty:
            raise NoForecast(ticker, str(self.folder.parent))
        newest = steps.sort_values(["session", "published_at"], kind="stable")["key"].iloc[-1]
        return steps[steps["key"] == newest]

    def counting(self, ticker: str, sessions: Sessions) -> pd.DataFrame:
        """The steps of the forecasts that are scored, by
        `ledger_scores.one_forecast_per_session`."""
        path = self.file(ticker)
        try:
            return _counting(self, ticker, sessions, sha256_of(path))
        except OSError as error:
            raise unreadable(path, error) from error

    def record(
        self,
        ticker: str,
        series: PriceSeries,
        sessions: Sessions,
        units: "pd.Series[float] | None" = None,
    ) -> dict[Timing, RealisedScores]:
        """The record so far, with live, late and backfilled forecasts scored apart.

        series: split-adjusted, any length; as known today, or by `BarStore.first_known`.  sessions:
        of the exchange. units: as for `ledger_scores.scored_steps`.
        """
        counting = self.counting(ticker, sessions)
        scored = scored_steps(counting, series, units)
        return {timing: scores_of(timing, counting, scored) for timing in get_args(Timing)}

    def live(
        self,
        ticker: str,
        series: PriceSeries,
        sessions: Sessions,
        units: "pd.Series[float] | None" = None,
    ) -> RealisedScores:
        """The live part of `record`, without forecasts made after the series' last session."""
        counting = self.counting(ticker, sessions)
        # a missed night, run later, knows no more
        counting = counting[counting["session"] <= series.sessions[-1]]
        return scores_of("live", counting, scored_steps(counting, series, units))

    def _table(self, ticker: str) -> pa.Table:
        path = self.file(ticker)
        try:
            table = _parsed(path.read_bytes(), ticker)
            if not {CHECKSUM_KEY, NUMBERS_KEY} & set(table.schema.metadata or {}):
                _check_unmarked(ticker, table)
            return table.replace_schema_metadata()
        except FileNotFoundError:
            return SCHEMA.empty_table()
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from error


def _parsed(content: bytes, ticker: str) -> pa.Table:
    """The file's table; forecasts of earlier versions get the price that they are of.  Raises
    ValueError."""
    try:
        return from_bytes(content, ticker, SCHEMA, unmarked=True)
    except ValueError:
        table = from_bytes(content, ticker, OF_MID_PRICES, unmarked=True)
        return table.append_column(
            SCHEMA.field("price"), pa.array(["mid"] * len(table), pa.string())
        )


@lru_cache(maxsize=1)  # a night asks three times before it publishes; no caller modifies the frame
def _counting(ledger: Ledger, ticker: str, sessions: Sessions, sha256: str | None) -> pd.DataFrame:
    return one_forecast_per_session(ledger.steps(ticker), sessions)


def _check_unmarked(ticker: str, table: pa.Table) -> None:
    """Raise ValueError unless the rows, of an early version or written by hand, are those of
    forecasts."""
    try:
        published = entries_of(ticker, _steps(table))
        as_published = pa.concat_tables([SCHEMA.empty_table(), *map(_rows, published)])
    except (InvalidForecast, TypeError, ValueError, OverflowError) as fault:
        raise ValueError(f"rows of no forecast: {getattr(fault, 'why', fault)}") from fault
    if not as_published.equals(table):
        raise ValueError("rows of no forecast: repeated, out of order, or without a key")


def _steps(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas(date_as_object=False).astype(
        {"session": "datetime64[us]", "due": "datetime64[us]"}
    )


def _rows(entry: LedgerEntry) -> pa.Table:
    """The entry as a table of `horizon` rows.  Raises InvalidForecast."""
    if fault := next(_faults(entry), None):
        raise InvalidForecast(entry.ticker, fault)
    forecast, count = entry.forecast, len(entry.forecast.path)
    constants = {
        "key": entry.key,
        "session": forecast.origin,
        "published_at": entry.published_at.astimezone(UTC),
        "run_id": entry.run_id,
        "model_version": entry.model_version,
        "last_value": forecast.last_value,
        "probability_of_rise": forecast.probability_of_rise,
        "direction_step": forecast.direction_step,
        "price": forecast.price,
    }
    by_lead = {
        "lead": range(1, count + 1),
        "due": forecast.sessions,
        "path": forecast.path,
        "weight": forecast.weights,
    }
    bands = {
        f"{side}_{name}": getattr(forecast.band(int(name)), side)
        for name in BANDS
        for side in ("low", "high")
    }
    columns = {name: [value] * count for name, value in constants.items()} | {**by_lead, **bands}
    return pa.table(columns, schema=SCHEMA)


def _faults(entry: LedgerEntry) -> Iterator[str]:
    """What keeps the forecast from being published; only the first holds, the others rest on it."""
    forecast = entry.forecast
    coverages = {band.coverage for band in forecast.bands}
    if entry.published_at.tzinfo is None:
        yield "a publishing time without its UTC offset"
    if not {int(band) for band in BANDS} <= coverages:
        yield f"bands {sorted(coverages)} rather than {', '.join(BANDS)}"
    columns = [forecast.path, *(side for band in forecast.bands for side in (band.low, band.high))]
    lengths = {len(column) for column in (*columns, forecast.weights)}
    if len(forecast.path) == 0 or lengths != {len(forecast.sessions)}:
        yield "paths, weights, bands and sessions of different lengths"
    is_price = np.isfinite(columns).all() and np.min(columns) > 0
    if not (is_price and 0 < forecast.last_value < np.inf):
        yield "prices that are not finite and above 0"
    if not all(0 <= weight <= 1 for weight in forecast.weights):
        yield "weights beyond 0 to 1"
    if not 0 <= forecast.probability_of_rise <= 1:
        yield f"a chance of {forecast.probability_of_rise}"
    days = (forecast.origin, *forecast.sessions)
    if any(later <= earlier for earlier, later in pairwise(days)):
        yield "sessions that do not ascend from the origin"


def entries_of(ticker: str, steps: pd.DataFrame) -> tuple[LedgerEntry, ...]:
    """Rebuild the ledger entries from all of their steps, in the steps' order."""
    entries = []
    for key, rows in steps.groupby("key", sort=False):
        first = rows.iloc[0]
        bands = (
            Band(int(b), tuple(rows[f"low_{b}"].tolist()), tuple(rows[f"high_{b}"].tolist()))
            for b in BANDS
        )
        forecast = Forecast(
            origin=first["session"].date(),
            last_value=float(first["last_value"]),
            sessions=tuple(day.date() for day in rows["due"]),
            path=tuple(rows["path"].tolist()),
            bands=tuple(bands),
            probability_of_rise=float(first["probability_of_rise"]),
            direction_step=int(first["direction_step"]),
            weights=tuple(rows["weight"].tolist()),
            price=first["price"],
        )
        run_id, version = (
            None if pd.isna(first[name]) else str(first[name])
            for name in ("run_id", "model_version")
        )
        entries.append(
            LedgerEntry(
                ticker, str(key), first["published_at"].to_pydatetime(), forecast, run_id, version
            )
        )
    return tuple(entries)
