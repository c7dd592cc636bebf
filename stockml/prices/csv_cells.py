"""The cells of a CSV file of daily prices, whatever its layout, and how the file writes days and numbers.

Columns are known by name, in any order and case. `11/12/2026` and `1,234` mean different things in different countries:
the reading is inferred from the whole file, never from one cell; a file with two readings is refused, naming both.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from stockml.errors import InvalidFile
from stockml.prices.bars import MAX_OFF_CALENDAR_SHARE, PRICES, exceeds_share
from stockml.prices.calendar import Sessions
from stockml.redaction import excerpt
from stockml.settings import DateOrder, DecimalMark
from stockml.storage.arrays import Days, Floats

Cells: TypeAlias = pd.DataFrame

MAX_FILE_BYTES = 64 * 2**20
LINES_ABOVE = 10  # the header is one of so many lines: titles and empty lines may stand above it
NAMES = {
    "date": "date", "datetime": "date", "timestamp": "date", "session": "date",
    "open": "open", "high": "high", "low": "low", "close": "close", "closelast": "close", "last": "close",
    "closeadjustedforsplits": "close",
    "adjclose": "adjusted", "adjustedclose": "adjusted",
    "adjcloseadjustedforsplitsanddividendandorcapitalgaindistributions": "adjusted",
    "volume": "volume", "vol": "volume", "shares": "volume", "ticker": "share", "symbol": "share",
    "price": "close", "zuletzt": "close", "erffn": "open",  # investing.com, in German too
    # Yahoo's current page; Stooq in Polish; German banks
    "closeclosepriceadjustedforsplits": "close",
    "adjcloseadjustedclosepriceadjustedforsplitsanddividendandorcapitalgaindistributions": "adjusted",
    "data": "date", "otwarcie": "open", "najwyzszy": "high", "najnizszy": "low", "zamkniecie": "close",
    "najwyszy": "high", "najniszy": "low", "zamknicie": "close", "wolumen": "volume",
    "datum": "date", "erffnung": "open", "eroeffnung": "open", "erster": "open", "hoch": "high", "tageshoch": "high",
    "ouv": "open", "haut": "high", "bas": "low", "clot": "close",  # Boursorama
    "tief": "low", "tagestief": "low", "schluss": "close", "schlusskurs": "close", "stcke": "volume",
    "stuecke": "volume", "volumen": "volume",
}  # fmt: skip
YFINANCE = re.compile(r"\Aprice([,;\t].*\n)ticker.*\n.*\n", re.IGNORECASE)
NO_VALUE = {"", "null", "nan", "n/a", "na", "-", "none"}

DATE_FORMATS = (
    (re.compile(r"\d{8}"), "%Y%m%d"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "%Y-%m-%d"),
    (re.compile(r"\d{4}/\d\d/\d\d"), "%Y/%m/%d"),
    (re.compile(r"\d{4}\.\d\d\.\d\d"), "%Y.%m.%d"),
    (re.compile(r"[A-Za-z]{3} \d{1,2}, \d{4}"), "%b %d, %Y"),
    (re.compile(r"\d{1,2}-[A-Za-z]{3}-\d{4}"), "%d-%b-%Y"),
    (re.compile(r"\d{1,2} [A-Za-z]{3} \d{4}"), "%d %b %Y"),
)
TWO_ORDERS = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})")
ORDERS: dict[DateOrder, str] = {"day-first": "%d/%m/%Y", "month-first": "%m/%d/%Y"}
TIME = "time"  # TradingView's name for the date; elsewhere the time of day, in a column of its own
UTC_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+ ?(Z|UTC|[+-]00:?00)")
UNIX_SECONDS = re.compile(r"-\d+|[3-9]\d{7}|\d{9,10}")  # before 1970, or since 1970-12: no earlier day of `\d{8}`
EXCEL_DAY = re.compile(r"[2-6]\d{4}")  # days since 1899-12-30: 1954 to 2091
EXPECTED = "expected a CSV file of daily prices"
MAX_USUAL_STEP = 5  # days; the median step between rows of a daily file is no longer

MARKS: dict[DecimalMark, str] = {"comma": ",", "point": "."}
IGNORED_CHARACTERS = r"[$€£\s\u00a0\u202f'’]"
NUMBERS = {
    # digits, in a row or in groups of three by the other mark, and a fraction
    mark: rf"-?(\d*|[1-9]\d{{0,2}}({thousands}\d{{3}})+)({decimal}\d+)?"
    for mark, decimal, thousands in (("comma", ",", r"\."), ("point", r"\.", ","))
}
PLAIN = r"[0-9]+(\.[0-9]+)?"  # without signs, groups or currency, as in most files
GROUPS = r"(?<=\d),(?=(?:\d\d,)*\d{3}(?!\d))"  # a comma before each three digits, or as in India: 12,34,567
THOUSANDS = {"K": "e3", "M": "e6", "B": "e9"}  # as volumes are shortened: 1.41M


@dataclass(frozen=True)
class Readings:
    """How a person says that a file is to be read; None is inferred from the file."""

    dates: DateOrder | None = None
    decimal: DecimalMark | None = None


AS_FOUND = Readings()


class NotPrices(Exception):
    """What was expected and what was found, with the line if there is one. The caller adds the file's name."""


def content_of(path: Path) -> bytes:
    """The bytes of a price file.  Raises InvalidFile if it cannot be read, is empty or larger than MAX_FILE_BYTES."""
    if path.exists() and not path.is_file():  # reading a pipe would wait for somebody to write into it
        raise InvalidFile(str(path), "expected a file with daily prices, found a folder, a pipe or a device")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as problem:
        why = f"cannot be read: {problem.strerror}; see that it is there, and that you may read it"
        raise InvalidFile(str(path), why) from problem
    if not content.strip():
        raise InvalidFile(str(path), f"{EXPECTED}, found an empty file")
    if len(content) > MAX_FILE_BYTES:
        raise InvalidFile(str(path), f"expected at most {MAX_FILE_BYTES >> 20} MiB, found a larger file")
    return content


def cells_of(content: bytes) -> tuple[Cells, tuple[str, ...], str]:
    """The cells as text, with our column names and the file's line numbers as index; its own columns; its separator."""
    lines = _lines(content)
    if (longest := max(map(len, lines))) > csv.field_size_limit():
        raise NotPrices(f"{EXPECTED}, found a line of {longest:,} characters; give each day its own")
    # below titles and empty lines: no other line names as many of our columns
    known_names = [{*map(_meaning, line.split(_separator(line)))} - {None} for line in lines[:LINES_ABOVE]]
    at = int(np.argmax([*map(len, known_names)]))
    separator = _separator(lines[at])
    if separator not in lines[at]:
        raise NotPrices(f"{EXPECTED}, found no columns in its first line, {excerpt(lines[at], 60)!r}")
    rows = _rows(lines, at, separator)
    _, header = next(rows)
    meanings = [*map(_meaning, header)]
    if "date" not in meanings:
        meanings = ["date" if _letters(column) == TIME else name for column, name in zip(header, meanings, strict=True)]
    positions = {name: at for at, name in enumerate(meanings) if name}
    numbers, texts = list[int](), list[str]()  # the texts of all rows in one list: thousands of lists take longer
    for number, row in rows:
        numbers.append(number)
        texts += [row[at].strip() if at < len(row) else "" for at in positions.values()]
    columns = tuple(excerpt(column, 20) for column in header[:10])
    if absent := [name for name in ("date", *PRICES) if name not in positions]:
        found = f"no column {', '.join(absent)} among {', '.join(columns)}"
        raise NotPrices(f"expected the columns date, open, high, low, close; found {found}")
    repeated = {name for name in meanings if name not in (None, "share") and meanings.count(name) > 1}
    if duplicates := [excerpt(column, 20) for column, name in zip(header, meanings, strict=True) if name in repeated]:
        found = f"{', '.join(duplicates)}, which are taken for the same; give all but one another name"
        raise NotPrices(f"expected one column of each meaning, found {found}")
    table = {name: texts[at :: len(positions)] for at, name in enumerate(positions)}
    cells = pd.DataFrame(table, index=pd.Index(numbers, dtype=int), dtype=str)
    return cells.mask(cells.apply(lambda column: column.str.lower().isin(NO_VALUE)), ""), columns, separator


def _rows(lines: list[str], at: int, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The header in line `at`, counted from 0, and the rows below it that are not empty, each with its line number.

    Raises NotPrices at the end, if a row has more cells than the header, or the last one is cut off.
    """
    reader = csv.reader((line + "\n" for line in lines[at:]), delimiter=separator, skipinitialspace=True, strict=True)
    width, previous, last, too_wide = 0, 0, 0, ""
    try:
        for row in filter(None, reader):
            width, previous, last = width or len(row), last, len(row)
            if len(row) > width and not too_wide and any(map(str.strip, row[width:])):
                too_wide = f"line {at + reader.line_num}: expected {width} cells as in the header, found {len(row)}"
            yield at + reader.line_num, row
    except csv.Error as problem:
        why = f"{EXPECTED}, found {problem}; see that every quote is closed"
        raise NotPrices(f"line {at + reader.line_num}: {why}") from problem
    if too_wide:
        advice = "if the numbers have commas, separate the columns by semicolons or put the numbers in quotes"
        raise NotPrices(f"{too_wide}; {advice}")
    if lines[-1] and 1 < last < previous:  # a part of its last number may be missing too
        found = f"expected {previous} cells as in the line before, found {last} and no line end"
        raise NotPrices(f"line {len(lines)}: {found}; see that the file is whole")


def _lines(content: bytes) -> list[str]:
    if content.startswith(b"PK"):
        raise NotPrices(f"{EXPECTED}, found a workbook; save it as CSV")
    if content.startswith(b"\x1f\x8b"):
        raise NotPrices(f"{EXPECTED}, found one packed by gzip; unpack it")
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if 0 in content[:2]:  # half of a character in UTF-16, without a byte order mark
        encoding = "utf-16-be" if content[0] == 0 else "utf-16-le"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return YFINANCE.sub(r"Date\1\n\n", text).split("\n")


def _separator(line: str) -> str:
    return max(",;\t", key=line.count)


def _meaning(column: str) -> str | None:
    return NAMES.get(_letters(column))


def _letters(column: str) -> str:
    return re.sub("[^a-z]", "", column.lower())


def dates_of(cells: Cells, sessions: Sessions, order: DateOrder | None = None) -> Days:
    """(n,) days of the column `date`. Raises NotPrices with the line, or with both readings."""
    text = cells["date"]
    first = str(text.iloc[0])
    if TWO_ORDERS.match(first):
        return _in_an_order(text, sessions, order)
    if EXCEL_DAY.fullmatch(first):
        numbers = pd.to_numeric(text, errors="coerce")
        return _days(text, pd.to_datetime(numbers, unit="D", origin="1899-12-30", errors="coerce"))
    if (seconds := UNIX_SECONDS.fullmatch(first)) or UTC_TIME.fullmatch(first):
        times = pd.to_numeric(text, errors="coerce") if seconds else text.str.replace(" UTC", "Z")
        moments = pd.to_datetime(times, "coerce", utc=True, unit=seconds and "s", format=None if seconds else "ISO8601")
        utc, local = (moments.dt.tz_convert(zone).dt.tz_localize(None) for zone in ("UTC", sessions.tz))
        is_day = utc.dt.normalize().eq(utc)  # midnight in UTC; the last row may have the time of a running session
        return _days(text, utc.where(is_day & (is_day.mean() > 0.9), local))
    for pattern, layout in DATE_FORMATS:
        if match := pattern.match(first):
            parts = text.str.slice(0, match.end()) if layout.startswith("%Y") else text  # without a time of day
            return _days(text, pd.to_datetime(parts, format=layout, errors="coerce"))
    raise NotPrices(f"line {cells.index[0]}: expected a date like 2026-11-20, found {first[:30]!r}")


def _in_an_order(text: "pd.Series[str]", sessions: Sessions, order: DateOrder | None) -> Days:
    """The days in `order`, else in the only order that gives a sequence of sessions. Raises NotPrices."""
    texts = text.str.replace(r"[.-]", "/", regex=True).str.extract(r"^(\d{1,2}/\d{1,2}/\d{4})", expand=False)
    by_order = {name: pd.to_datetime(texts, format=layout, errors="coerce") for name, layout in ORDERS.items()}
    if order:
        return _days(text, by_order[order])
    complete = {name: dates for name, dates in by_order.items() if not dates.isna().any()}
    fitting = {name: dates for name, dates in complete.items() if _fits(dates, sessions)}
    if len(candidates := fitting or complete) == 2 and not candidates["day-first"].equals(candidates["month-first"]):
        shown = " or ".join(f"{dates.iloc[0]:%Y-%m-%d} ({name})" for name, dates in candidates.items())
        why = f"line {text.index[0]}: {text.iloc[0]} may be {shown}; say which with --dates day-first or month-first"
        raise NotPrices(why)
    nearest = min(by_order.values(), key=lambda dates: int(dates.isna().sum()))
    return _days(text, next(iter(candidates.values()), nearest))


def _fits(days: "pd.Series[pd.Timestamp]", sessions: Sessions) -> bool:
    dates = days.to_numpy().astype("datetime64[D]")
    steps, off_calendar = np.diff(dates).astype(np.int64), int((~sessions.are_sessions(dates)).sum())
    in_order = bool((steps >= 0).all() or (steps <= 0).all())
    daily = len(steps) == 0 or float(np.median(np.abs(steps))) <= MAX_USUAL_STEP
    return in_order and daily and not exceeds_share(off_calendar, len(days), MAX_OFF_CALENDAR_SHARE)


def _days(text: "pd.Series[str]", parsed: "pd.Series[pd.Timestamp]") -> Days:
    no_date = ~parsed.dt.year.between(MINYEAR, MAXYEAR)  # NaT, or a number that is no Excel day
    if no_date.any():
        line = parsed.index[no_date][0]
        like = "a day of the calendar" if line == text.index[0] else f"a date like {str(text.iloc[0])[:30]!r}"
        raise NotPrices(f"line {line}: expected {like}, found {str(text[line])[:30]!r}")
    days: Days = parsed.to_numpy().astype("datetime64[D]")
    return days


def decimal_mark(cells: Cells, separator: str) -> DecimalMark:
    """The decimal mark that fits all numbers of the file. Raises NotPrices, with both readings, if both marks fit.

    A comma may always stand for thousands; a point may where `;` separates the columns, or days are like 03.10.2016.
    """
    numbers = cells.drop(columns=["date", "share"], errors="ignore")
    plain = all(numbers[name].str.fullmatch(rf"({PLAIN})?").all() for name in numbers)
    if plain and not numbers["close"].str.fullmatch(NUMBERS["comma"]).all():
        return "point"  # as below: no number has a decimal comma, and a close has a decimal point
    values = numbers.replace(IGNORED_CHARACTERS, "", regex=True).melt(ignore_index=False)
    comma, point = (values["value"].str.fullmatch(NUMBERS[mark]) for mark in MARKS)
    lines = {"comma": values.index[comma & ~point], "point": values.index[point & ~comma]}
    if len(lines["comma"]) and len(lines["point"]):
        found = " and ".join(f"a decimal {mark} in line {proofs[0]}" for mark, proofs in lines.items())
        raise NotPrices(f"expected one decimal mark, found {found}; say which with --decimal comma or point")
    for mark in MARKS:
        if len(lines[mark]):
            return mark
    order = TWO_ORDERS.match(str(cells["date"].iloc[0]))
    marks = ",." if separator == ";" or (order and order[2] == ".") else ","
    ambiguous = values[comma & values["value"].str.contains(f"[{marks}]") & values["variable"].isin(PRICES)]
    if len(ambiguous):
        text = str(ambiguous["value"].iloc[0])
        readings = f"{text.replace(',', '')} (point) or {text.replace('.', '').replace(',', '.')} (comma)"
        raise NotPrices(f"line {ambiguous.index[0]}: {text} may be {readings}; say which with --decimal point or comma")
    return "point"


def numbers_of(cells: Cells, name: str, decimal: DecimalMark) -> Floats:
    """One column as (n,) numbers, NaN where the cell is empty. Raises NotPrices, with the line of any other text."""
    if name not in cells:
        return np.full(len(cells), np.nan)
    text = cells[name] if decimal == "point" else cells[name].str.translate(str.maketrans(",.", ".,"))
    if text.str.fullmatch(PLAIN).all():
        plain: Floats = text.to_numpy(object).astype(np.float64)
        return plain
    text = text.str.replace(IGNORED_CHARACTERS, "", regex=True).str.replace(GROUPS, "", regex=True)
    for unit, power in THOUSANDS.items() if name == "volume" else ():
        text = text.str.replace(rf"(?<=\d){unit}$", power, case=False, regex=True)
    values = pd.to_numeric(text, errors="coerce")
    is_wrong = values.isna() & (text != "")
    if is_wrong.any():
        line = is_wrong.index[is_wrong][0]
        raise NotPrices(f"line {line}: expected a number as {name}, found {cells[name][line][:30]!r}")
    numbers: Floats = values.to_numpy(np.float64)
    return numbers
