"""Alpha Vantage over a real loopback connection: what is asked, at what pace, and what its refusals
become."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from deployments.replay import Feed
from stockml.errors import PremiumOnly, QuotaSpent, UnknownSymbol
from stockml.provider.client import AlphaVantage
from stockml.provider.http import Payload
from stockml.provider.parsing import parse_daily, parse_splits
from stockml.provider.quota import Plan, QuotaLedger
from stockml.storage.locks import FileNotes
from tests.stockml.provider.connected import DAILY, KEY, NOW, Clock, Connected
from tests.support import PAYLOADS, loopback
from tests.support.loopback import Exchange, Loopback

SPLITS = (PAYLOADS / "splits.json").read_bytes()
FAST = Plan(requests_per_minute=1_200, requests_per_day=None)


def test_the_client_asks_as_the_contract_says_and_returns_the_answer_unchanged(
    connected: Connected,
) -> None:
    with Loopback(loopback.whole(DAILY), loopback.whole(SPLITS)) as server:
        client = connected(server)
        daily, splits = client.daily("ibm"), client.splits("IBM")
    assert daily == Payload("IBM", DAILY, NOW)
    assert (splits.ticker, splits.content) == ("IBM", SPLITS)
    assert server.asked == [
        {"function": "TIME_SERIES_DAILY", "symbol": "IBM", "outputsize": "compact", "apikey": KEY},
        {"function": "SPLITS", "symbol": "IBM", "apikey": KEY},
    ]


@pytest.mark.parametrize("base", ["/", "/query/"])
def test_the_address_may_be_given_with_or_without_its_query_path(
    connected: Connected, base: str
) -> None:
    with Loopback(loopback.whole(DAILY)) as server:
        assert connected(server.address + base).daily("IBM").content == DAILY


def test_a_free_key_asks_at_most_once_a_second_whichever_client_asks(
    connected: Connected, clock: Clock
) -> None:
    with Loopback(loopback.whole(DAILY)) as server:
        for _ in range(3):
            connected(server).daily("IBM")
    assert [seconds for seconds in clock.slept if seconds] == [1.05, 1.05]


def test_once_the_provider_calls_the_quota_spent_nobody_asks_until_the_next_day(
    connected: Connected, clock: Clock
) -> None:
    with Loopback(loopback.echo, loopback.whole(DAILY)) as server:
        for ticker in ("IBM", "MSFT", "AAPL"):
            with pytest.raises(QuotaSpent, match="25 requests per day"):
                connected(server).daily(ticker)
        assert len(server.asked) == 1
        clock.now += timedelta(days=1)
        assert connected(server).daily("IBM").content == DAILY


def test_a_refusal_after_midnight_marks_the_day_of_the_request_as_spent(
    connected: Connected, clock: Clock
) -> None:
    # New York's midnight is at 05:00
    clock.now = datetime(2026, 11, 21, 5, tzinfo=UTC) - timedelta(seconds=0.5)

    def past_midnight(exchange: Exchange) -> None:
        clock.sleep(1.0)
        loopback.echo(exchange)

    with Loopback(past_midnight, loopback.whole(DAILY)) as server:
        with pytest.raises(QuotaSpent, match="25 requests per day"):
            connected(server).daily("IBM")
        assert connected(server).daily("IBM").content == DAILY


def test_the_environment_names_key_plan_and_address(tmp_path: Path, clock: Clock) -> None:
    with Loopback(loopback.whole(DAILY)) as server:
        environ = {
            "ALPHAVANTAGE_API_KEY": KEY,
            "ALPHAVANTAGE_PLAN": "1200/min",
            "ALPHAVANTAGE_URL": server.address,
        }
        for key in (None, f" {KEY}\n", "OTHER"):
            notes = FileNotes(tmp_path)
            with AlphaVantage(environ, notes, clock=clock, sleep=clock.sleep, key=key) as client:
                client.daily("IBM")
    assert [asked["apikey"] for asked in server.asked] == [KEY, KEY, "OTHER"]
    assert QuotaLedger.of(FileNotes(tmp_path), KEY, FAST).remaining(clock()) is None


def test_the_replay_feed_and_the_client_follow_one_contract(
    feed: Feed, connected: Connected
) -> None:
    session = date(2013, 3, 1)
    client = connected(feed.url, plan="1200/min")
    compact = parse_daily(client.daily("IBM").content, "IBM", last_final=session)
    assert (len(compact), compact.index[-1].date()) == (100, session)
    splits = parse_splits(client.splits("AAPL").content, "AAPL")
    assert [split.factor for split in splits][:2] == [2.0, 2.0]
    with pytest.raises(PremiumOnly, match="outputsize=full"):
        client.daily("IBM", "full")
    for ticker, told in (("NOSUCH", "spelling$"), ("SAP.DE", r"SAP\.DEX$")):
        with pytest.raises(UnknownSymbol, match=told):
            client.daily(ticker)
    premium = connected(feed.url, "premium-key", "1200/min").daily("IBM", "full").content
    assert len(parse_daily(premium, "IBM", last_final=session)) > 3_000
