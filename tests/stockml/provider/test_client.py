"""Alpha Vantage over a real loopback connection: what is asked, at what pace, and what its refusals
become."""

from datetime import UTC, date, datetime, timedelta

import pytest

from stockml.errors import PremiumOnly, QuotaSpent, UnknownSymbol
from stockml.provider.client import AlphaVantage
from stockml.provider.http import Payload
from stockml.storage.locks import FileNotes
from tests.stockml.provider.connected import DAILY, KEY, NOW, SERIES
from tests.support import PAYLOADS, loopback
from tests.support.loopback import Loopback

SPLITS = (PAYLOADS / "splits.json").read_bytes()


def test_the_client_asks_as_the_contract_says_and_returns_the_answer_unchanged(connected):
    with Loopback(SERIES, loopback.whole(SPLITS)) as server:
        client = connected(server)
        daily, splits = client.daily("ibm"), client.splits("IBM")
    assert daily == Payload("IBM", DAILY, NOW)
    assert (splits.ticker, splits.content) == ("IBM", SPLITS)
    assert server.asked == [
        {"function": "TIME_SERIES_DAILY", "symbol": "IBM", "outputsize": "compact", "apikey": KEY},
        {"function": "SPLITS", "symbol": "IBM", "apikey": KEY},
    ]


def test_a_free_key_asks_at_most_once_a_second_whichever_client_asks(connected, clock):
    with Loopback(SERIES) as server:
        for _ in range(3):
            connected(server).daily("IBM")
    assert [seconds for seconds in clock.slept if seconds] == [1.05, 1.05]


def test_a_refusal_after_midnight_marks_the_day_of_the_request_as_spent(connected, clock):
    # New York's midnight is at 05:00
    clock.now = datetime(2026, 11, 21, 5, tzinfo=UTC) - timedelta(seconds=0.5)

    def past_midnight(exchange):
        clock.sleep(1.0)
        loopback.echo(exchange)

    with Loopback(past_midnight, SERIES) as server:
        with pytest.raises(QuotaSpent, match="25 requests per day"):
            connected(server).daily("IBM")
        assert connected(server).daily("IBM").content == DAILY


def test_the_environment_names_key_plan_and_address_with_or_without_its_query_path(tmp_path, clock):
    notes = FileNotes(tmp_path)
    environ = {"ALPHAVANTAGE_API_KEY": KEY, "ALPHAVANTAGE_PLAN": "1200/min"}
    with Loopback(SERIES) as server:
        for key, base in ((None, ""), (f" {KEY}\n", "/"), ("OTHER", "/query/")):
            environ["ALPHAVANTAGE_URL"] = server.address + base
            with AlphaVantage(environ, notes, clock=clock, sleep=clock.sleep, key=key) as client:
                assert client.daily("IBM").content == DAILY
                assert client.remaining() is None
    assert [asked["apikey"] for asked in server.asked] == [KEY, KEY, "OTHER"]


def test_the_replay_feed_and_the_client_follow_one_contract(feed, connected):
    client = connected(feed.url, plan="1200/min")
    assert len(client.daily_of(client.daily("IBM"), last_final=date(2013, 3, 1))) == 100
    with pytest.raises(PremiumOnly, match="outputsize=full"):
        client.daily("IBM", "full")
    for ticker, told in (("NOSUCH", "spelling$"), ("SAP.DE", r"SAP\.DEX$")):
        with pytest.raises(UnknownSymbol, match=told):
            client.daily(ticker)
