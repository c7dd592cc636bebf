"""The Alpha Vantage client: its requests, and which answers are refusals."""

from collections.abc import Mapping
from datetime import date
from http import HTTPStatus
from typing import get_args

from stockml.errors import NoData
from stockml.prices.bars import Bars, Split
from stockml.provider.http import OutputSize, PriceProvider, Request
from stockml.provider.listing import LISTING, is_listing
from stockml.provider.parsing import DAILY, SPLITS, answered, parse_daily, parse_splits
from stockml.provider.payload_archive import Payload
from stockml.settings import check_choice


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
