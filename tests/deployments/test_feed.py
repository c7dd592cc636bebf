"""The replay feed answers over HTTP as the provider's contract says."""

from datetime import datetime

import pytest
import requests

from deployments.replay import NEW_YORK, Feed, recorded_rows
from stockml.provider.client import parse_delisted
from tests.support.patience import PATIENCE_S


def ask(feed, key="somekey", **query):
    asked = {"function": "TIME_SERIES_DAILY", "symbol": "IBM", "apikey": key} | query
    return requests.get(feed.url, params=asked, timeout=PATIENCE_S).json()


def test_a_series_is_the_newest_hundred_sessions_and_for_a_premium_key_the_whole_recording(feed):
    series = ask(feed)["Time Series (Daily)"]
    assert list(series) == sorted(series, reverse=True)
    assert (len(series), next(iter(series))) == (100, "2013-03-01")
    assert series["2013-02-28"]["1. open"] == f"{recorded_rows('IBM')[-2].open:.4f}"
    whole = ask(feed, "premium-key", outputsize="full")
    assert len(whole["Time Series (Daily)"]) == 3270
    assert whole["Meta Data"]["4. Output Size"] == "Full size"
    other = ask(feed, symbol="ibm", outputsize="huge")
    assert (other["Meta Data"]["2. Symbol"], len(other["Time Series (Daily)"])) == ("ibm", 100)


@pytest.mark.parametrize(
    ("key", "query", "field", "says"),
    [
        ("free", {"outputsize": "full"}, "Information", "is a premium feature"),
        ("free", {"symbol": "NOPE"}, "Error Message", "Invalid API call."),
        ("free", {"function": "DAYLY"}, "Error Message", "(DAYLY) does not exist."),
        ("demo", {}, "Information", "The **demo** API key is for demo purposes only."),
        ("no good key", {}, "Error Message", "the parameter apikey is invalid or missing."),
    ],
)
def test_refusals_carry_the_providers_own_text(feed, key, query, field, says):
    reply = ask(feed, key, **query)
    assert list(reply) == [field]
    assert says in reply[field]


@pytest.mark.parametrize(
    ("now", "newest"),
    [
        ("2013-02-28T17:59:00-05:00", "2013-02-27"),
        ("2013-02-28T18:00:00-05:00", "2013-02-28"),
        ("2013-02-24T12:00:00-05:00", "2013-02-22"),
    ],
)
def test_a_bar_is_absent_before_it_is_published(feed, now, newest):
    feed.set_clock(datetime.fromisoformat(now))
    assert ask(feed)["Meta Data"]["3. Last Refreshed"] == newest
    assert feed.newest.isoformat() == newest


def test_splits_are_those_known_at_the_feeds_clock_newest_first(feed):
    def splits(symbol):
        reply = ask(feed, symbol=symbol, function="SPLITS")
        assert reply["symbol"] == symbol
        return [(row["effective_date"], row["split_factor"]) for row in reply["data"]]

    newer, older = ("2005-02-28", "2.0000"), ("2000-06-21", "2.0000")
    assert (splits("AAPL"), splits("IBM")) == ([newer, older], [])
    feed.set_clock(datetime(2005, 2, 28, 9, tzinfo=NEW_YORK))
    assert splits("AAPL") == [older]


def test_no_share_of_the_recording_is_delisted():
    with Feed() as feed:
        asked = {"function": "LISTING_STATUS", "state": "delisted", "apikey": "any"}
        listed = requests.get(f"{feed.address}/query", asked, timeout=PATIENCE_S).content
    assert parse_delisted(listed) == {}
