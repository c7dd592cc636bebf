"""The cells of a CSV file of daily prices, whatever its layout: columns by name, in any order and case.

Every refusal names the file, the line and what was expected.
"""

import re
import warnings
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stockml.errors import InvalidFile
from stockml.prices.bars import PRICES
from stockml.prices.csv_readings import Cells

LARGEST_FILE = 64 * 2**20
NAMES = {
    "date": "date", "datetime": "date", "timestamp": "date", "open": "open", "high": "high", "low": "low",
    "close": "close", "closelast": "close", "last": "close", "closeadjustedforsplits": "close",
    "adjclose": "adjusted", "adjustedclose": "adjusted",
    "adjcloseadjustedforsplitsanddividendandorcapitalgaindistributions": "adjusted",
    "volume": "volume", "vol": "volume", "shares": "volume",
    # Yahoo's page of today; Stooq in Polish; German banks
    "closeclosepriceadjustedforsplits": "close",
    "adjcloseadjustedclosepriceadjustedforsplitsanddividendandorcapitalgaindistributions": "adjusted",
    "data": "date", "otwarcie": "open", "najwyzszy": "high", "najnizszy": "low", "zamkniecie": "close",
    "najwyszy": "high", "najniszy": "low", "zamknicie": "close", "wolumen": "volume",
    "datum": "date", "erffnung": "open", "eroeffnung": "open", "erster": "open", "hoch": "high", "tageshoch": "high",
    "tief": "low", "tagestief": "low", "schluss": "close", "schlusskurs": "close", "stcke": "volume",
    "stuecke": "volume", "volumen": "volume",
}  # fmt: skip
NO_VALUE = {"", "null", "nan", "n/a", "na", "-", "none"}


def content_of(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # reading a pipe would wait for somebody to write into it
        raise InvalidFile(str(path), "expected a file with daily prices, found a folder, a pipe or a device")
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


def cells_of(path: Path, content: bytes) -> tuple[Cells, tuple[str, ...]]:
    """The file's cells as text, with our names as columns and the file's line numbers as index; and its own columns."""
    text, skipped = _plain(path, content)
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    if separator not in header:
        raise InvalidFile(str(path), "expected a CSV file of daily prices, found no columns in its first line")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a line longer than the header would lose cells
            as_text = {"dtype": str, "keep_default_na": False, "skipinitialspace": True, "skip_blank_lines": False}
            table = pd.read_csv(StringIO(text), sep=separator, index_col=False, **as_text)
    except (ValueError, pd.errors.ParserWarning) as problem:
        why = str(problem).rpartition("C error: ")[2]
        raise InvalidFile(str(path), f"expected a CSV file of daily prices, found {why[:150]}") from problem
    names = {column: NAMES.get(re.sub("[^a-z]", "", str(column).lower())) for column in table.columns}
    known = [name for name in names.values() if name]
    absent = [name for name in ("date", *PRICES) if name not in known]
    columns = tuple(str(column)[:20] for column in list(table.columns)[:10])
    if absent or len(set(known)) < len(known):
        what = f"no column {', '.join(absent)}" if absent else "two columns of one meaning"
        found = f"{what} among {', '.join(columns)}"
        raise InvalidFile(str(path), f"expected the columns date, open, high, low, close; found {found}")
    cells = table[[column for column, name in names.items() if name]].set_axis(known, axis=1).fillna("")
    cells.index = pd.RangeIndex(2 + skipped, len(cells) + 2 + skipped)
    cells = cells.apply(lambda column: column.str.strip())
    return cells.mask(cells.apply(lambda column: column.str.lower().isin(NO_VALUE)), ""), columns


def _plain(path: Path, content: bytes) -> tuple[str, int]:
    """The text with its header first, and how many lines before the first row were left out.

    Excel writes UTF-16 with tabs, or a line `sep=;`; yfinance three header lines: Price, Ticker, Date.
    """
    if content.startswith(b"PK"):
        raise InvalidFile(str(path), "expected a CSV file of daily prices, found a workbook; save it as CSV")
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    first, _, rest = text.lstrip("\ufeff").partition("\n")
    if re.fullmatch(r'"?sep=.?"?\s*', first, re.IGNORECASE):
        return rest, 1
    if re.match("price[,;\t]", first, re.IGNORECASE) and rest.lower().startswith("ticker"):
        return "Date" + first[len("Price") :] + "\n" + rest.split("\n", 2)[2], 2
    return text, 0


def are_events(cells: Cells) -> NDArray[np.bool_]:
    """Yahoo's page mixes lines such as `0.88 Dividend` and `2:1 Stock Split` among the prices."""
    events: NDArray[np.bool_] = cells["open"].str.contains("Dividend|Split|Distribution", case=False).to_numpy(bool)
    return events
