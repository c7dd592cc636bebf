"""The Alpha Vantage client: its requests, which answers are refusals, and which tickers are no
longer listed."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import get_args

from pydantic import AwareDatetime

from stockml.errors import NoData
from stockml.prices.bars import Bars, Split
from stockml.provider.http import OutputSize, Payload, PriceProvider, Request
from stockml.provider.parsing import DAILY, SPLITS, answered, parse_daily, parse_splits
from stockml.settings import check_choice
from stockml.storage.files import write_atomically
from stockml.storage.receipts import read_record, record, written_record


class AlphaVantage(PriceProvider):
    name = "alphavantage"
    usual_address = "https://www.alphavantage.co"
    variable = "ALPHAVANTAGE_URL"
    key_variable = "ALPHAVANTAGE_API_KEY"

    def daily(self, ticker: str, outputsize: OutputSize = "compact") -> Payload:
        """The newest 100 sessions, or all since 1999-11-01 (`full`, with a premium key)."""
        # The provider would answer a misspelled size as compact.
        check_choice("outputsize", outputsize, get_args(OutputSize))
        return self._ask(ticker, function=DAILY, outputsize=outputsize)

    def splits(self, ticker: str) -> Payload:
        return self._ask(ticker, function=SPLITS)

    def daily_of(self, payload: Payload, *, last_final: date) -> Bars:
        return parse_daily(payload.content, payload.ticker, last_final=last_final)

    def splits_of(self, payload: Payload) -> tuple[Split, ...]:
        return parse_splits(payload.content, payload.ticker)

    def delisted(self, ticker: str) -> Payload:
        """All symbols that are no longer listed, in one request, made on behalf of `ticker`."""
        return self._ask(ticker, function=LISTING, state="delisted")

    def _request(self, ticker: str, parameters: Mapping[str, str]) -> Request:
        params = {**parameters, "symbol": ticker, "apikey": self._key.get_secret_value()}
        return Request("GET", self._address.removesuffix("/query") + "/query", params=params)

    def _check(
        self, content: bytes, status: int, ticker: str, parameters: Mapping[str, str]
    ) -> None:
        function = parameters["function"]
        try:
            if not (function == LISTING and is_listing(content)):
                answered(content, ticker, function)
        except NoData as error:
            if status != HTTPStatus.OK:
                raise NoData(ticker, f"HTTP {status}: {error.notice}") from None
            raise
        if status != HTTPStatus.OK:
            raise NoData(ticker, f"a series, but under HTTP {status}")


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
