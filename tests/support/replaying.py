"""A home with recorded bars up to a week before the end of the recording, and a feed to fetch the
rest from."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta

import pytest

from deployments.replay import Feed
from stockml.home import HomePaths
from stockml.prices.store import BarStore
from tests.support.recordings import recorded

STORED_UNTIL, THURSDAY = date(2013, 2, 20), date(2013, 2, 28)
SMALL = {"evaluation": {"test_sessions": 300, "validation_sessions": 300}}


def use(feed: Feed, monkeypatch: pytest.MonkeyPatch, plan: str = "1200/min") -> None:
    """Point the price client of this process and of its child processes to the feed."""
    monkeypatch.setenv("ALPHAVANTAGE_URL", feed.address)
    monkeypatch.setenv("ALPHAVANTAGE_API_KEY", "premium-replay")
    monkeypatch.setenv("ALPHAVANTAGE_PLAN", plan)


def store_of(home: HomePaths) -> BarStore:
    return BarStore.of(home)


def fill(
    home: HomePaths, tickers: Iterable[str] | Mapping[str, str], until: date = STORED_UNTIL
) -> None:
    """Store the recorded history of each ticker, or of the recorded symbol that it is mapped to."""
    played_by = tickers if isinstance(tickers, Mapping) else {ticker: ticker for ticker in tickers}
    recorded_at = datetime(until.year, until.month, until.day, 8, tzinfo=UTC) + timedelta(days=1)
    for ticker, symbol in played_by.items():
        past = recorded(symbol).loc[: str(until)]
        store_of(home).append(
            ticker, past, recorded_at=recorded_at, source="recording", session=until
        )
