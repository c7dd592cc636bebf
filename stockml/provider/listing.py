"""Which tickers are no longer listed, from LISTING_STATUS (CSV): one request a week serves all of
them."""

import csv
import io
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime

from stockml.errors import NoData
from stockml.storage.files import write_atomically
from stockml.storage.records import read_record, record, written_record

LISTING = "LISTING_STATUS"
ASKED_EVERY = timedelta(days=7)
HEADER = "symbol,name,exchange,assetType,ipoDate,delistingDate,status"


@record
@dataclass(frozen=True)
class Delistings:
    """The delisting date of each symbol that is no longer listed, as known at `asked`; kept in one
    file."""

    asked: AwareDatetime | None
    days: dict[str, date]

    def due(self, now: datetime) -> bool:
        """Whether no listing was asked for within a week of `now` (with its zone); the clock may
        have been ahead."""
        return self.asked is None or abs(now - self.asked) >= ASKED_EVERY

    def day_of(self, ticker: str) -> date | None:
        """The ticker's delisting date, if there is one; the listing has AA-W where a ticker may be
        AA.W."""
        return self.days.get(ticker) or self.days.get(ticker.replace(".", "-"))

    def write(self, path: Path) -> None:
        write_atomically(path, written_record(self))

    @classmethod
    def read(cls, path: Path) -> "Delistings":
        """Read what `write` wrote; without a file, or if it is damaged, nothing was asked yet."""
        try:
            return read_record(cls, path.read_bytes())
        except (FileNotFoundError, ValueError):
            return cls(None, {})


def is_listing(content: bytes) -> bool:
    return content.lstrip(b"\xef\xbb\xbf").startswith(HEADER.encode())


def parse_delisted(content: bytes) -> dict[str, date]:
    """Symbol → its delisting date, the newest if a symbol was used again. Raises NoData for another
    kind of answer."""
    if not is_listing(content):
        raise NoData("the listing", content[:200].decode("utf-8", "replace"))
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig", "replace"))))
    except csv.Error as error:  # a stray quote turns all that follows into one field
        raise NoData("the listing", str(error)) from None
    days: dict[str, date] = {}
    for row in rows:
        try:
            day = date.fromisoformat(row["delistingDate"] or "")
        except ValueError:
            continue  # "null": still listed
        symbol = row["symbol"].strip().upper()
        days[symbol] = max(day, days.get(symbol, day))
    return days
