"""Tiingo's end-of-day prices: decades of raw history and split factors on a free key, one request a
ticker.

As documented (tiingo.com/documentation/end-of-day): a JSON list of days, oldest first, with raw and
adjusted prices, `divCash` and `splitFactor`; the key in the header `Authorization: Token …`;
refusals by HTTP status with a `detail`. A free key allows about 50 requests an hour, 1,000 a day
and 500 symbols a month, for personal use. None of this could be tried against the service itself:
tests hold the client to the documentation.
"""

import json
from collections.abc import Mapping
from datetime import date
from http import HTTPStatus
from typing import Any, ClassVar

from stockml.errors import (
    BadKey,
    BadPayload,
    BadTiingoKey,
    NoData,
    NotOffered,
    QuotaSpent,
    TiingoSpent,
    UnknownSymbol,
)
from stockml.prices.bars import COLUMNS, Bars, Split, make_bars
from stockml.provider.http import OutputSize, Payload, PriceProvider, Request
from stockml.provider.parsing import cells, split_factor
from stockml.provider.quota import Plan
from stockml.redaction import excerpt

FIRST_DAY = "1960-01-01"


class Tiingo(PriceProvider):
    """Tiingo with one key; arguments as for any client. US symbols only, share classes as BRK-B."""

    name = "tiingo"
    usual_address = "https://api.tiingo.com"
    variable = "TIINGO_URL"
    key_variable = "TIINGO_API_KEY"
    plan = Plan(requests_per_minute=60, requests_per_day=1_000)
    counted_in = "tiingo/"
    bad_key: ClassVar[type[BadKey]] = BadTiingoKey

    def daily(self, ticker: str, outputsize: OutputSize = "compact") -> Payload:
        """All daily bars, raw as traded, with split factors, whatever `outputsize`: fewer bars are
        no cheaper."""
        try:
            return self._ask(ticker, startDate=FIRST_DAY, format="json")
        except QuotaSpent as spent:  # perhaps by our own count
            raise TiingoSpent(ticker, spent.notice, spent.period) from None

    def splits(self, ticker: str) -> Payload:
        """The same answer as `daily`, which contains the splits."""
        return self.daily(ticker)

    def daily_of(self, payload: Payload, *, last_final: date) -> Bars:
        final = {day: row for day, row in _rows(payload).items() if day <= last_final}
        if not final:
            raise NoData(payload.ticker, "no final bar")
        numbers = [cells(row, COLUMNS, day, payload.ticker) for day, row in final.items()]
        return make_bars(list(final), dict(zip(COLUMNS, zip(*numbers, strict=True), strict=True)))

    def splits_of(self, payload: Payload) -> tuple[Split, ...]:
        rows = _rows(payload).items()
        factors = {
            day: split_factor(row.get("splitFactor"), day, payload.ticker) for day, row in rows
        }
        return tuple(Split(day, factor) for day, factor in factors.items() if factor != 1.0)

    def _request(self, ticker: str, parameters: Mapping[str, str]) -> Request:
        if "." in ticker and len(ticker.rpartition(".")[2]) > 1:
            raise NotOffered(ticker, "Tiingo has US symbols only")
        url = f"{self._address}/tiingo/daily/{ticker.replace('.', '-').lower()}/prices"
        login = f"Token {self._key.get_secret_value()}"
        return Request("GET", url, headers={"Authorization": login}, params=parameters)

    def _check(
        self, content: bytes, status: int, ticker: str, parameters: Mapping[str, str]
    ) -> None:
        shown = excerpt(content[:1_000].decode("utf-8", "replace"))
        try:
            answer: Any = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if status == HTTPStatus.OK and isinstance(answer, list) and answer:
            return
        detail = str(answer.get("detail", "")) if isinstance(answer, dict) else ""
        found = shown if status == HTTPStatus.OK else f"HTTP {status}: {shown or 'no words'}"
        detail_text, notice = detail.lower(), excerpt(detail or found)
        if (
            status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
            or "invalid token" in detail_text
        ):
            raise BadTiingoKey(ticker, notice)
        if status == HTTPStatus.TOO_MANY_REQUESTS or "run over your" in detail_text:
            period_text = notice.lower().replace("daily", "day")
            period = next(
                (period for period in ("hour", "month", "day") if period in period_text), "hour"
            )
            raise TiingoSpent(ticker, notice, period)
        if status == HTTPStatus.NOT_FOUND or "not found" in detail_text:
            raise UnknownSymbol(ticker, notice)
        raise NoData(ticker, found)


def _rows(payload: Payload) -> dict[date, dict[str, Any]]:
    """The answer's rows by day, oldest first, numbers as text. Raises BadPayload."""
    rows: dict[date, dict[str, Any]] = {}
    for row in json.loads(payload.content, parse_float=str, parse_int=str, parse_constant=str):
        try:
            day = date.fromisoformat(str(row["date"])[:10])
        except (TypeError, KeyError, ValueError):
            raise BadPayload(
                payload.ticker, f"expected a day's bar, found {excerpt(str(row))!r}"
            ) from None
        if day in rows:
            raise BadPayload(payload.ticker, f"expected one bar a day, found two of {day}")
        rows[day] = row
    return dict(sorted(rows.items()))
