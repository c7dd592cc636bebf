"""Tonight's bars from the provider, kept as they came: the first step of the chain."""

from datetime import date, datetime
from typing import Literal

from stockml.alphavantage import AlphaVantage, keep, parse_daily
from stockml.home import Home
from stockml.receipts import PayloadReceipt
from stockml.sessions import Sessions


def fetch(
    home: Home,
    provider: AlphaVantage,
    ticker: str,
    session: date,
    *,
    sessions: Sessions,
    now: datetime,
    outputsize: Literal["compact", "full"] = "compact",
) -> PayloadReceipt:
    """Ask for the daily bars known after `session`, keep the answer, and say which session is its newest.

    An answer that cannot be parsed is refused before it is kept. Raises FeedError.
    """
    payload = provider.daily(ticker, outputsize)
    today = now.astimezone(sessions.tz).date()
    daily = parse_daily(payload.content, ticker, last_final=sessions.last_final(now), today=today)
    kept = keep(payload, home.payloads)
    return PayloadReceipt(ticker, kept.path, kept.sha256, session, daily.newest, payload.received_at)
