"""The cells of a CSV file of daily prices, whatever its layout: columns by name, in any order and case.

Every refusal names the file, the line and what was expected.
"""

import re
import warnings
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stockml.errors import InvalidFile
from stockml.prices.bars import PRICES
from stockml.storage.arrays import Days, Floats

LARGEST_FILE = 64 * 2**20
NAMES = {
    "date": "date", "datetime": "date", "timestamp": "date", "open": "open", "high": "high", "low": "low",
    "close": "close", "closelast": "close", "last": "close", "closeadjustedforsplits": "close",
    "adjclose": "adjusted", "adjustedclose": "adjusted",
    "adjcloseadjustedforsplitsanddividendandorcapitalgaindistributions": "adjusted",
    "volume": "volume", "vol": "volume",
}  # fmt: skip
NO_VALUE = {"", "null", "nan", "n/a", "na", "-", "none"}
DATE_FORMATS = (
    (re.compile(r"\d{8}"), "%Y%m%d"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "%Y-%m-%d"),
    (re.compile(r"\d{4}/\d\d/\d\d"), "%Y/%m/%d"),
    (re.compile(r"[A-Za-z]{3} \d{1,2}, \d{4}"), "%b %d, %Y"),
    (re.compile(r"\d{1,2}/\d{1,2}/\d{4}"), "%m/%d/%Y"),
    (re.compile(r"\d{1,2}-[A-Za-z]{3}-\d{4}"), "%d-%b-%Y"),
)

Cells: TypeAlias = pd.DataFrame


def content_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as problem:
        raise InvalidFile(str(path), f"cannot be read: {problem.strerror}") from problem
    if not content.strip():
        raise InvalidFile(str(path), "expected a CSV file of daily prices, found an empty file")
    if len(content) > LARGEST_FILE:
        raise InvalidFile(str(path), f"expected at most {LARGEST_FILE >> 20} MiB, found a larger file")
    return content


def cells_of(path: Path, content: bytes) -> Cells:
    """The file's cells as text, with our names as columns and the file's line numbers as index."""
    header = content.splitlines()[0]
    separator = max(",;\t", key=lambda mark: header.count(mark.encode()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a line longer than the header would lose cells
            table = pd.read_csv(
                BytesIO(content),
                sep=separator,
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                skipinitialspace=True,
                index_col=False,
                skip_blank_lines=False,
            )
    except (ValueError, pd.errors.ParserWarning) as problem:
        raise InvalidFile(str(path), f"expected a CSV file of daily prices, found: {str(problem)[:150]}") from problem
    names = {column: NAMES.get(re.sub("[^a-z]", "", str(column).lower())) for column in table.columns}
    known = [name for name in names.values() if name]
    absent = [name for name in ("date", *PRICES) if name not in known]
    if absent or len(set(known)) < len(known):
        what = f"no column {', '.join(absent)}" if absent else "two columns of one meaning"
        found = ", ".join(str(column)[:20] for column in list(table.columns)[:10])
        raise InvalidFile(str(path), f"expected the columns date, open, high, low, close; found {what} among {found}")
    cells = table[[column for column, name in names.items() if name]].set_axis(known, axis=1).fillna("")
    cells.index = pd.RangeIndex(2, len(cells) + 2)
    stripped = {name: cells[name].str.strip() for name in known}
    return pd.DataFrame(
        {name: column.where(~column.str.lower().isin(NO_VALUE), "") for name, column in stripped.items()}
    )


def are_events(cells: Cells) -> NDArray[np.bool_]:
    """Yahoo's page mixes lines such as `0.88 Dividend` and `2:1 Stock Split` among the prices."""
    events: NDArray[np.bool_] = cells["open"].str.contains("Dividend|Split|Distribution", case=False).to_numpy(bool)
    return events


def dates_of(path: Path, cells: Cells) -> Days:
    text = cells["date"]
    first = str(text.iloc[0])
    for pattern, layout in DATE_FORMATS:
        if match := pattern.match(first):
            # a time of day may follow: the date is what counts
            parts = text.str.slice(0, match.end()) if layout.startswith("%Y") else text
            parsed = pd.to_datetime(parts, format=layout, errors="coerce")
            break
    else:
        raise InvalidFile(str(path), f"line {cells.index[0]}: expected a date like 2026-11-20, found {first[:30]!r}")
    if parsed.isna().any():
        line = parsed.index[parsed.isna()][0]
        raise InvalidFile(str(path), f"line {line}: expected a date like {first[:30]!r}, found {text[line][:30]!r}")
    days: Days = parsed.to_numpy().astype("datetime64[D]")
    return days


def numbers_of(path: Path, cells: Cells, name: str) -> Floats:
    """One column as numbers. Prices must all be there; a volume that is absent is NaN."""
    if name not in cells:
        return np.full(len(cells), np.nan)
    text = cells[name].str.replace(r"[,$\s]", "", regex=True)
    values = pd.to_numeric(text, errors="coerce")
    wrong = values.isna() & ((text != "") | (name != "volume"))
    if wrong.any():
        line = wrong.index[wrong][0]
        raise InvalidFile(str(path), f"line {line}: expected a number as {name}, found {cells[name][line][:30]!r}")
    numbers: Floats = values.to_numpy(np.float64)
    return numbers
