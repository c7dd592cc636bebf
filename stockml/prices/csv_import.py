"""Import of history from CSV files of daily prices; a file with `Adj Close` is scaled to it.

Known by their headings are the files of Alpha Vantage, Kaggle, Yahoo, Stooq and Tiingo; `Readings`
says how to read any other. What can be read in two ways is refused, with the flag that settles it.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from io import StringIO
from pathlib import Path
from shlex import quote
from typing import TypeAlias

import numpy as np
import pandas as pd

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
from stockml.prices.screening import other_scale, sparse, suspicions
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.redaction import excerpt
from stockml.settings import DecimalMark
from stockml.storage.arrays import Days, Floats
from stockml.tickers import YAHOO, validated_ticker

Cells: TypeAlias = pd.DataFrame  # a file's texts, by our column names; index: its line numbers

EXTENSIONS = (".csv", ".txt")
PROVIDER_SUFFIXES = {"US": "", "UK": ".LON"} | {yahoo: f".{own}" for yahoo, own in YAHOO.items()}
MAX_FILE_BYTES = 64 * 2**20
HEADINGS = {  # their letters: ours
    "date": "date", "timestamp": "date", "session": "date",
    "open": "open", "high": "high", "low": "low", "close": "close",
    "adjclose": "adjusted", "adjustedclose": "adjusted",
    "volume": "volume", "vol": "volume", "ticker": "ticker", "symbol": "ticker",
}  # fmt: skip
NAMES = tuple(dict.fromkeys(HEADINGS.values()))
YFINANCE = re.compile(r"\APrice(,.*\n)Ticker,.*\n.*\n")  # its header is three lines long
ISO_DATE = r"\d{4}-\d\d-\d\d|\d{4}/\d\d/\d\d|\d{8}"
MIDNIGHT = r"[T ]00:00.*"
DATE_FORMATS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%b %d, %Y", "%d-%b-%Y")
MARKS: dict[DecimalMark, tuple[str, str]] = {"point": (".", ","), "comma": (",", ".")}
GROUPED = r"[1-9][0-9]{0,2}(\.[0-9]{3})+"


@dataclass(frozen=True)
class Readings:
    """How a person says that a file is to be read: a date's format as `strptime` takes it, the
    decimal mark, and the file's heading of our columns (`NAMES`)."""

    date_format: str | None = None
    decimal: DecimalMark | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


AS_FOUND = Readings()


class NotPrices(Exception):
    """What was expected and found, with the line if there is one; callers add the file's name."""


@dataclass(frozen=True)
class CsvNotes:
    """What was done to a CSV file's rows, and why its prices are suspect (`suspicions`).

    `empty`: rows without prices, left out. `repaired`: rows whose low or high missed the open or
    close by no more than rounding, and was moved there. `off_calendar`: days on which the exchange
    did not trade, left out. `no_volume_among`: the file's columns, if none of them is known to be
    the volume; else empty. `adjusted`: scaled to the column `Adj Close`.
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
    """What an import brings. Not `recorded`: it is stored already.

    `missing`: sessions between the first and the last that the file lacks. `not_over`: sessions
    that are still to come or unfinished, left out.
    """

    path: str
    recorded: bool
    sessions: int
    missing: int
    not_over: tuple[date, ...]
    first: date
    last: date


def ticker_of(path: Path) -> str:
    """The ticker that a file is named for: `ibm.us.txt`, `IBM.csv`, `TSCO.L.csv` (TSCO.LON).

    Raises InvalidTicker.
    """
    name = re.sub(r"\s*\(\d+\)$", "", path.stem)
    symbol, dot, exchange = name.rpartition(".")
    suffix = PROVIDER_SUFFIXES.get(exchange.upper(), dot + exchange)
    return validated_ticker(symbol + suffix if symbol else name)


def files_in(folder: Path) -> tuple[Path, ...]:
    """The price files in the folder and below it, without hidden ones, as a Mac's notes are."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    names = (path.relative_to(folder) for path in found)
    visible = (folder / name for name in names if not any(p.startswith(".") for p in name.parts))
    return tuple(sorted(filter(Path.is_file, visible)))


def read_history(
    path: Path | str, sessions: Sessions, ticker: str = "", readings: Readings = AS_FOUND
) -> History:
    """Read and check one file.

    Raises InvalidFile with the line or session and the rule, InvalidTicker.
    """
    path = Path(path)
    ticker = validated_ticker(ticker) if ticker else ticker_of(path)
    content = _content(path)
    source = f"{excerpt(path.name)} sha256:{hashlib.sha256(content).hexdigest()[:16]}"
    try:
        return _history(ticker, content, source, sessions, readings)
    except NotPrices as problem:
        raise InvalidFile(str(path), str(problem)) from problem
    except BadPayload as problem:
        raise InvalidFile(str(path), f"{problem.notice}; correct the file") from problem


def import_file(
    store: BarStore,
    path: Path,
    *,
    recorded_at: datetime,
    now: datetime | None = None,
    ticker: str | None = None,
    readings: Readings = AS_FOUND,
) -> ImportReport:
    """Import one file's history into the store.

    now: of the night's clock, which says what is over; default: `recorded_at`.
    Raises InvalidFile, InvalidTicker, NoOverlap, InconsistentOverlap.
    """
    report, history = preview_import(
        store, path, now=now or recorded_at, ticker=ticker, readings=readings
    )
    over = history.bars.loc[: str(report.last)]
    recorded = store.record_import(
        report.ticker, over, recorded_at=recorded_at, source=history.source
    )
    return replace(report, recorded=recorded)


def preview_import(
    store: BarStore,
    path: Path,
    *,
    now: datetime,
    ticker: str | None = None,
    readings: Readings = AS_FOUND,
) -> tuple[ImportReport, History]:
    """What an import of the file at `now` would bring, without recording it; and its history.

    Raises InvalidFile, also if no session is over at `now`, and InvalidTicker.
    """
    ticker = validated_ticker(ticker) if ticker else ticker_of(path)
    sessions = store.sessions(ticker)
    history = read_history(path, sessions, ticker, readings)
    days = days_of(history.bars)
    over = days[days <= np.datetime64(sessions.last_final(now))]
    if not len(over):
        why = "expected sessions that are over, found none; correct its dates, or the clock"
        raise InvalidFile(str(path), why)
    first, last = over[[0, -1]].tolist()
    set_aside = tuple(bar for bar in history.notes.set_aside if bar.session <= last)
    report = ImportReport(
        **vars(replace(history.notes, set_aside=set_aside)),
        path=str(path),
        recorded=False,
        sessions=len(over),
        missing=len(sessions.between(first, last)) - len(over),
        not_over=tuple(days[len(over) :].tolist()),
        first=first,
        last=last,
    )
    return report, history


def read_folder(
    folder: Path, calendar: str | None = None, tickers: Collection[str] = ()
) -> tuple[dict[str, PriceSeries], dict[str, StockmlError], dict[str, str]]:
    """Series by ticker, without bars set aside, of all price files under a folder; refusals by
    relative path; each series' `suspicions`. A second file of a ticker is refused.

    calendar: of every ticker, not of its suffix.
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
                why = f"expected one file of {ticker}, found another before it"
                raise InvalidFile(str(path), why)
            history = read_history(path, sessions_for(ticker, calendar))
            series[ticker] = PriceSeries.from_bars(history.believed)
            doubts[ticker] = history.notes.suspicions
        except StockmlError as refusal:
            if not (tickers and isinstance(refusal, InvalidTicker)):
                refusals[str(path.relative_to(folder))] = refusal
    return series, refusals, doubts


def _content(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        why = "expected a file with daily prices, found a folder, a pipe or a device"
        raise InvalidFile(str(path), why)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as problem:
        why = f"cannot be read: {problem.strerror}; see that it is there, and that you may read it"
        raise InvalidFile(str(path), why) from problem
    if len(content) > MAX_FILE_BYTES:
        why = f"expected at most {MAX_FILE_BYTES >> 20} MiB, found a larger file"
        raise InvalidFile(str(path), why)
    return content


def _history(
    ticker: str, content: bytes, source: str, sessions: Sessions, readings: Readings
) -> History:
    """A file's content, checked. Raises NotPrices, BadPayload."""
    cells, columns, separator = _cells(content, readings.columns)
    has_values = cells[list(PRICES)].notna().any(axis=1)
    rows = cells[has_values]
    if rows.empty:
        raise NotPrices("expected daily prices, found no row that has any")
    if "ticker" in rows and rows["ticker"].str.upper().nunique() > 1:
        found = excerpt(", ".join(sorted(rows["ticker"].dropna().unique())))
        raise NotPrices(f"expected one share, found {found}; keep one's rows, or drop the column")
    mark = readings.decimal or _decimal_mark(rows, separator)
    raw = make_bars(
        _days(rows["date"], readings.date_format),
        {name: _numbers(rows, name, mark) for name in COLUMNS},
    )
    repaired, repairs = _within_rounding(raw, rows, MARKS[mark][0])
    scaled = _scaled_to_adjusted(repaired, _numbers(rows, "adjusted", mark))
    ordered = _in_order(scaled)
    if gap := sparse(ordered, sessions):
        why = f"expected daily bars, found {gap}: is it a weekly file? Export daily prices"
        raise NotPrices(why)
    bars, off_calendar = _on_calendar(ordered, sessions)
    bars = checked(ticker, bars, sessions)
    series = adjust_series(ticker, None, [bars], (), {}, sessions=sessions)
    assert series is not None  # `checked` refuses a file whose bars are all broken
    if step := other_scale(series.bars, without_set_aside(bars, broken(bars, None))):
        advice = "correct the file, or leave out all up to then"
        raise NotPrices(f"expected prices of one scale, found {step}; {advice}")
    notes = CsvNotes(
        ticker,
        set_aside=series.set_aside,
        empty=int((~has_values).sum()),
        repaired=repairs,
        off_calendar=off_calendar,
        no_volume_among=() if "volume" in cells else columns,
        adjusted=not scaled.equals(repaired),
        suspicions=suspicions(series.bars, len(series.set_aside)),
    )
    return History(notes, source, bars, series.bars)


def _cells(content: bytes, chosen: Mapping[str, str]) -> tuple[Cells, tuple[str, ...], str]:
    """The cells by our columns, without empty lines; the file's own headings; its separator."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        found = "found other bytes (a workbook, or packed?); save it as CSV in UTF-8"
        raise NotPrices(f"expected text in UTF-8, {found}") from problem
    text = YFINANCE.sub(r"Date\1\n\n", text.replace("\r\n", "\n").replace("\r", "\n"))
    separator = max(",;\t", key=text.partition("\n")[0].count)
    try:
        table = pd.read_csv(
            StringIO(text),
            sep=separator,
            header=None,
            dtype=str,
            skip_blank_lines=False,
            skipinitialspace=True,
        )
    except pd.errors.EmptyDataError as problem:
        raise NotPrices("expected a CSV file of daily prices, found an empty file") from problem
    except pd.errors.ParserError as problem:
        found = " ".join(str(problem).rpartition("error: ")[2].split())
        advice = "numbers with commas need quotes, or semicolons between the columns"
        why = f"expected as many cells a line as headings, found: {found}; {advice}"
        raise NotPrices(why) from problem
    header = [heading.strip() for heading in table.iloc[0].fillna("")]
    positions = _columns(header, chosen)
    shown = tuple(excerpt(heading, 20) for heading in header[:10])
    if absent := [name for name in ("date", *PRICES) if name not in positions]:
        example = f"--columns {','.join(f'{name}=HEADING' for name in absent)}"
        found = f"no column {', '.join(absent)} among {', '.join(shown)}; name them: {example}"
        raise NotPrices(f"expected the columns date, open, high, low, close; found {found}")
    cells = table.iloc[1:, list(positions.values())].set_axis([*positions], axis=1)
    cells = cells.apply(lambda column: column.str.strip()).dropna(how="all")
    return cells.set_index(cells.index + 1), shown, separator


def _columns(header: list[str], chosen: Mapping[str, str]) -> dict[str, int]:
    """Our columns, each with its position in the file.  chosen: a heading by our name."""
    if missing := [heading for heading in chosen.values() if heading not in header]:
        raise NotPrices(f"expected a column {missing[0][:40]!r}, found {excerpt(str(header))}")
    ours = {heading: name for name, heading in chosen.items()}
    positions = dict[str, int]()
    for at, heading in enumerate(header):
        known = HEADINGS.get(re.sub("[^a-z]", "", heading.lower()))
        name = ours.get(heading) or (known if known not in chosen else None)
        if name in positions:
            both = f"{excerpt(header[positions[name]], 20)}, {excerpt(heading, 20)}"
            how = f"say which with --columns {name}=HEADING"
            raise NotPrices(f"expected one column of {name}, found {both}; {how}")
        if name:
            positions[name] = at
    return positions


def _days(text: "pd.Series[str]", date_format: str | None) -> Days:
    """(n,) days. Raises NotPrices, with the line of a date that cannot be read, or in two ways."""
    if date_format is None:
        text = text.str.replace(MIDNIGHT, "", regex=True)
        digits = text.where(text.str.fullmatch(ISO_DATE)).str.replace("[-/]", "", regex=True)
        days = pd.to_datetime(digits, format="%Y%m%d", errors="coerce")
    else:
        try:
            days = pd.to_datetime(text, format=date_format, errors="coerce").dt.tz_localize(None)
        except (ValueError, AttributeError) as problem:
            why = f"expected a format such as {DATE_FORMATS[0]}, found {date_format!r}: {problem}"
            raise NotPrices(why) from problem
    if days.isna().any():
        line = days.index[days.isna()][0]
        raise NotPrices(f"line {line}: {_unread_date(str(text[line]), date_format)}")
    read: Days = days.to_numpy().astype("datetime64[D]")
    return read


def _unread_date(text: str, date_format: str | None) -> str:
    found, readings = repr(text[:30]), list[str]()
    for layout in DATE_FORMATS:
        with suppress(ValueError):
            day = datetime.strptime(text, layout).date()
            readings.append(f"{day} (--date-format {quote(layout)})")
    if date_format:
        return f"expected a date as {date_format} says, found {found}"
    if readings:
        return f"{found} may be {' or '.join(readings)}; say which"
    how = "or say how to read it with --date-format, such as %d/%m/%Y"
    return f"expected a date like 2026-11-20, found {found}; correct it, {how}"


def _decimal_mark(cells: Cells, separator: str) -> DecimalMark:
    """The point, unless a number can also be read with a decimal comma, or only so.

    Raises NotPrices with the readings. A point may stand for thousands where `;` separates columns.
    """
    numbers = cells.drop(columns=["date", "ticker"], errors="ignore").melt(ignore_index=False)
    texts = numbers["value"].dropna()
    doubtful = texts[texts.str.contains(",", regex=False)]
    if doubtful.empty and separator == ";":
        points = texts[texts.str.contains(".", regex=False)]
        doubtful = points if points.str.fullmatch(GROUPED).all() else doubtful
    for line, text in doubtful.head(1).items():
        readings = [
            f"{_plain(text, mark)} (--decimal {mark})"
            for mark in MARKS
            if re.fullmatch(_number(mark), text)
        ]
        if readings:
            raise NotPrices(f"line {line}: {text} may be {' or '.join(readings)}; say which")
    return "point"


def _number(mark: DecimalMark) -> str:
    """Digits, in a row or in groups of three by the other mark, and a fraction."""
    decimal, thousands = map(re.escape, MARKS[mark])
    whole = rf"([0-9]+|[1-9][0-9]{{0,2}}({thousands}[0-9]{{3}})+)"
    return rf"-?({whole}({decimal}[0-9]*)?|{decimal}[0-9]+)([eE][+-]?[0-9]+)?"


def _plain(text: str, mark: DecimalMark) -> str:
    decimal, thousands = MARKS[mark]
    return text.replace(thousands, "").replace(decimal, ".")


def _numbers(cells: Cells, name: str, mark: DecimalMark) -> Floats:
    """One column as (n,) numbers, NaN where it is empty. Raises NotPrices, with the line."""
    if name not in cells:
        return np.full(len(cells), np.nan)
    text, (decimal, thousands) = cells[name], MARKS[mark]
    is_wrong = text.notna() & ~text.str.fullmatch(_number(mark)).fillna(False).astype(bool)
    if is_wrong.any():
        line = is_wrong.index[is_wrong][0]
        how = "" if mark == "point" else ", with a decimal comma"
        raise NotPrices(f"line {line}: expected a number as {name}{how}, found {text[line][:30]!r}")
    plain = text.str.replace(thousands, "", regex=False).str.replace(decimal, ".", regex=False)
    numbers: Floats = plain.to_numpy(object).astype(np.float64)
    return numbers


def _within_rounding(bars: Bars, cells: Cells, mark: str) -> tuple[Bars, int]:
    """Move a low or high that misses open or close by up to a unit of the last place or 1e-4;
    count the rows moved."""
    low = bars[["low", "open", "close"]].to_numpy().min(axis=1)
    high = bars[["high", "open", "close"]].to_numpy().max(axis=1)
    with np.errstate(invalid="ignore"):
        off = np.maximum(bars["low"].to_numpy() - low, high - bars["high"].to_numpy())
    rows = np.flatnonzero(off > 0)
    places = [max(len(cells[name].iloc[row].partition(mark)[2]) for name in PRICES) for row in rows]
    rounding = np.maximum(1.001 * 10.0 ** -np.array(places, dtype=float), 1e-4 * low[rows])
    rows = rows[off[rows] <= rounding]
    moved = bars.copy()
    moved.iloc[rows, moved.columns.get_indexer(["low", "high"])] = np.stack([low, high], axis=1)[
        rows
    ]
    return moved, len(rows)


def _scaled_to_adjusted(bars: Bars, adjusted: Floats) -> Bars:
    if np.isnan(adjusted).all():
        return bars
    close = bars["close"].to_numpy()
    factors = np.ones(len(bars))  # a bar without a close above 0 is judged unscaled
    with np.errstate(over="ignore"):  # a close near 0 gives what is not finite, and so set aside
        np.divide(adjusted, close, out=factors, where=close > 0)
    return bars.assign(**{name: bars[name] * factors for name in PRICES})


def _in_order(bars: Bars) -> Bars:
    """Sort oldest first and drop repeated lines. Raises NotPrices for two bars of one day."""
    ordered = bars.sort_index(kind="stable")
    distinct = ordered[~ordered.reset_index().duplicated().to_numpy()]
    if (repeated := distinct.index.duplicated()).any():
        day = days_of(distinct)[repeated][0]
        found = f"found two different ones of {day}; leave one row a day"
        raise NotPrices(f"expected one bar a session, {found}")
    return distinct


def _on_calendar(bars: Bars, sessions: Sessions) -> tuple[Bars, tuple[date, ...]]:
    """Leave out the odd day that is no session. Raises NotPrices for too many of them."""
    days = days_of(bars)
    is_session = sessions.are_sessions(days)
    others = tuple(days[~is_session].tolist())
    if is_other_calendar(others, len(days)):
        found = f"{len(others)} of {len(days)} days without one ({', '.join(map(str, others[:3]))})"
        why = "is it another exchange?"
        if others[0] < sessions.first:
            why = f"it begins on {sessions.first}: leave out the lines before"
        raise NotPrices(f"expected sessions of the calendar {sessions.name}, found {found}; {why}")
    return bars[is_session], others
