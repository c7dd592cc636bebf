"""Import of history: CSV files of many layouts, read as bars; a file with `Adj Close` is scaled to it."""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

import numpy as np

from stockml.errors import BadPayload, InvalidFile, InvalidTicker, StockmlError
from stockml.prices.adjusted_series import adjust_series
from stockml.prices.bars import (
    COLUMNS,
    PRICES,
    Bars,
    SetAside,
    broken,
    checked,
    days_of,
    is_other_calendar,
    make_bars,
    without_set_aside,
)
from stockml.prices.calendar import Sessions, sessions_for
from stockml.prices.csv_cells import (
    AS_FOUND,
    MARKS,
    Cells,
    NotPrices,
    Readings,
    cells_of,
    content_of,
    dates_of,
    decimal_mark,
    numbers_of,
)
from stockml.prices.screening import other_scale, sparse, suspicions
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.redaction import excerpt
from stockml.settings import DecimalMark
from stockml.tickers import YAHOO, validated_ticker

EXTENSIONS = (".csv", ".txt")
PROVIDER_SUFFIXES = {"US": "", "UK": ".LON"} | {theirs: f".{ours}" for theirs, ours in YAHOO.items()}


@dataclass(frozen=True)
class CsvNotes:
    """What was done to a CSV file's rows, and why its prices are suspect (`suspicions`).

    `empty`: rows without prices, left out. `repaired`: rows whose low or high missed the open or close by no more than
    rounding, and was moved there. `off_calendar`: days on which the exchange did not trade, left out.
    `no_volume_among`: the file's columns, if none of them is known to be the volume; else empty. `adjusted`: scaled to
    the column `Adj Close`.
    """

    ticker: str
    set_aside: tuple[SetAside, ...]
    empty: int
    repaired: int
    off_calendar: tuple[date, ...]
    no_volume_among: tuple[str, ...]
    adjusted: bool
    suspicions: str


@dataclass(frozen=True)
class History:
    """The adjusted bars of a CSV file. `believed`: those not set aside."""

    notes: CsvNotes
    source: str
    bars: Bars
    believed: Bars


@dataclass(frozen=True)
class ImportReport(CsvNotes):
    """What an import brings. Not `recorded`: it is stored already. `not_over`: unfinished sessions, left out.

    `missing`: sessions between the first and the last that the file lacks.
    """

    path: str
    recorded: bool
    sessions: int
    missing: int
    not_over: int
    first: date
    last: date


def ticker_of(path: Path) -> str:
    """The ticker that a file is named for: `ibm.us.txt`, `IBM.csv`, `TSCO.L.csv` (TSCO.LON). Raises InvalidTicker."""
    name = re.sub(r"\s*\(\d+\)$", "", path.stem)
    symbol, dot, exchange = name.rpartition(".")
    return validated_ticker(symbol + PROVIDER_SUFFIXES.get(exchange.upper(), dot + exchange) if symbol else name)


def files_in(folder: Path) -> tuple[Path, ...]:
    """The price files in the folder and below it, without hidden ones: an editor's copies, a Mac's notes."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    visible = (folder / path for path in names if not any(part.startswith(".") for part in path.parts))
    return tuple(sorted(filter(Path.is_file, visible)))


def read_history(path: Path | str, sessions: Sessions, ticker: str = "", readings: Readings = AS_FOUND) -> History:
    """Read and check one file. Raises InvalidFile with the line or session and the rule, InvalidTicker."""
    path = Path(path)
    ticker = validated_ticker(ticker) if ticker else ticker_of(path)
    content = content_of(path)
    source = f"{excerpt(path.name)} sha256:{hashlib.sha256(content).hexdigest()[:16]}"
    try:
        return _history(ticker, content, source, sessions, readings)
    except NotPrices as problem:
        raise InvalidFile(str(path), str(problem)) from problem
    except BadPayload as problem:
        raise InvalidFile(str(path), f"{problem.notice}; correct the file") from problem


def _history(ticker: str, content: bytes, source: str, sessions: Sessions, readings: Readings) -> History:
    """A file's content, checked. Raises NotPrices, BadPayload."""
    cells, columns, separator = cells_of(content)
    has_values = ~cells[list(PRICES)].eq("").all(axis=1).to_numpy()
    # Yahoo's page mixes lines such as `0.88 Dividend` and `2:1 Stock Split` among the prices
    has_values &= ~cells["open"].str.contains("Dividend|Split|Distribution", case=False).to_numpy(bool)
    rows = cells[has_values]
    if rows.empty:
        raise NotPrices("expected daily prices, found no row that has any")
    if "share" in rows and len(shares := sorted({*rows["share"].str.upper()} - {""})) > 1:
        raise NotPrices(f"expected one share, found {excerpt(', '.join(shares))}; keep one's rows, or drop the column")
    mark = readings.decimal or decimal_mark(rows, separator)
    days = dates_of(rows, sessions, readings.dates)
    raw = make_bars(days, {name: numbers_of(rows, name, mark) for name in COLUMNS})
    repaired, repairs = _within_rounding(raw, rows, MARKS[mark])
    scaled = _scaled_to_adjusted(repaired, rows, mark)
    ordered = _in_order(scaled)
    if gap := sparse(ordered, sessions):
        raise NotPrices(f"expected daily bars, found {gap}: is it a weekly file? Export daily prices")
    bars, off_calendar = _on_calendar(ordered, sessions)
    bars = checked(ticker, bars, sessions)
    series = adjust_series(ticker, None, [bars], (), {}, sessions=sessions)
    assert series is not None  # `checked` refuses a file whose bars are all broken
    if step := other_scale(series.bars, without_set_aside(bars, broken(bars, None))):
        raise NotPrices(f"expected prices of one scale, found {step}; correct the file, or leave out all up to then")
    empty, doubts = int((~has_values).sum()), suspicions(series.bars, len(series.set_aside))
    counts = (empty, repairs, off_calendar, () if "volume" in cells else columns, not scaled.equals(repaired))
    return History(CsvNotes(ticker, series.set_aside, *counts, doubts), source, bars, series.bars)


def import_file(
    store: BarStore, path: Path, *, recorded_at: datetime, ticker: str | None = None, readings: Readings = AS_FOUND
) -> ImportReport:
    """Import one file's history into the store. Raises InvalidFile, InvalidTicker, NoOverlap, InconsistentOverlap."""
    report, history = preview_import(store, path, now=recorded_at, ticker=ticker, readings=readings)
    recorded = store.record_import(report.ticker, history.bars, recorded_at=recorded_at, source=history.source)
    return replace(report, recorded=recorded)


def preview_import(
    store: BarStore, path: Path, *, now: datetime, ticker: str | None = None, readings: Readings = AS_FOUND
) -> tuple[ImportReport, History]:
    """What an import of the file at `now` would bring, without recording it; and its history.

    Raises InvalidFile, also if no session is over at `now`, and InvalidTicker.
    """
    ticker = validated_ticker(ticker) if ticker else ticker_of(path)
    sessions = store.sessions(ticker)
    history = read_history(path, sessions, ticker, readings)
    final_days = days_of(history.bars.loc[: str(sessions.last_final(now))])
    if not len(final_days):
        raise InvalidFile(str(path), "expected sessions that are over, found none; correct its dates, or the clock")
    first, last = final_days[[0, -1]].tolist()
    set_aside = tuple(bar for bar in history.notes.set_aside if bar.session <= last)
    report = ImportReport(
        **vars(replace(history.notes, set_aside=set_aside)),
        path=str(path),
        recorded=False,
        sessions=len(final_days),
        missing=len(sessions.between(first, last)) - len(final_days),
        not_over=len(history.bars) - len(final_days),
        first=first,
        last=last,
    )
    return report, history


def read_folder(
    folder: Path, calendar: str | None = None, tickers: Collection[str] = ()
) -> tuple[dict[str, PriceSeries], dict[str, StockmlError], dict[str, str]]:
    """Series by ticker, without bars set aside, of all price files under a folder; refusals by relative path.

    Also each series' `suspicions`. A second file is refused.  calendar: of every ticker, not of its suffix.
    tickers: the only ones whose files are read, if there are any.
    """
    series, doubts = dict[str, PriceSeries](), dict[str, str]()
    refusals: dict[str, StockmlError] = {}
    for path in files_in(folder):
        try:
            ticker = ticker_of(path)
            if tickers and ticker not in tickers:
                continue
            if ticker in series:
                raise InvalidFile(str(path), f"expected one file of {ticker}, found another before it")
            history = read_history(path, sessions_for(ticker, calendar))
            series[ticker], doubts[ticker] = PriceSeries.from_bars(history.believed), history.notes.suspicions
        except StockmlError as refusal:
            if not (tickers and isinstance(refusal, InvalidTicker)):
                refusals[str(path.relative_to(folder))] = refusal
    return series, refusals, doubts


def _within_rounding(bars: Bars, cells: Cells, mark: str) -> tuple[Bars, int]:
    """Move a low or high that misses open or close by up to a unit of the last place or 1e-4; count the rows moved."""
    ends = bars[["open", "close"]].to_numpy()
    low = np.minimum(bars["low"].to_numpy(), ends.min(axis=1))
    high = np.maximum(bars["high"].to_numpy(), ends.max(axis=1))
    with np.errstate(invalid="ignore"):
        off = np.maximum(bars["low"].to_numpy() - low, high - bars["high"].to_numpy())
    rows = np.flatnonzero(off > 0)
    places = [max(len(cells[name].iloc[row].partition(mark)[2]) for name in PRICES) for row in rows]
    rounding = np.maximum(1.001 * 10.0 ** -np.array(places, dtype=float), 1e-4 * low[rows])
    rows = rows[off[rows] <= rounding]
    columns = {name: bars[name].to_numpy().copy() for name in COLUMNS}
    columns["low"][rows], columns["high"][rows] = low[rows], high[rows]
    return make_bars(days_of(bars), columns), len(rows)


def _scaled_to_adjusted(bars: Bars, cells: Cells, mark: DecimalMark) -> Bars:
    if "adjusted" not in cells or not cells["adjusted"].any():
        return bars
    close = bars["close"].to_numpy()
    factors = np.ones(len(bars))  # a bar without a close above 0 is judged unscaled
    with np.errstate(over="ignore"):  # a close near 0 gives prices that are not finite, and so are set aside
        np.divide(numbers_of(cells, "adjusted", mark), close, out=factors, where=close > 0)
    return bars.assign(**{name: bars[name] * factors for name in PRICES})


def _in_order(bars: Bars) -> Bars:
    """Sort oldest first and drop repeated lines. Raises NotPrices for two different bars of one day."""
    ordered = bars.sort_index(kind="stable")
    distinct = ordered[~ordered.reset_index().duplicated().to_numpy()]
    if (repeated := distinct.index.duplicated()).any():
        day = days_of(distinct)[repeated][0]
        raise NotPrices(f"expected one bar a session, found two different ones of {day}; leave one row a day")
    return distinct


def _on_calendar(bars: Bars, sessions: Sessions) -> tuple[Bars, tuple[date, ...]]:
    """Leave out the odd day that is no session. Raises NotPrices for too many: another exchange's calendar."""
    days = days_of(bars)
    is_session = sessions.are_sessions(days)
    others = tuple(days[~is_session].tolist())
    if is_other_calendar(others, len(days)):
        why = f"it begins on {sessions.first}: leave out the lines before"
        raise NotPrices(
            f"expected sessions of the calendar {sessions.name}, found {len(others)} of {len(days)} days without one "
            f"({', '.join(map(str, others[:3]))}); {why if others[0] < sessions.first else 'is it another exchange?'}"
        )
    return bars[is_session], others
