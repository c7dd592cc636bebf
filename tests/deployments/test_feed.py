"""The replay feed answers over HTTP as the provider's contract says, from a recording that is
complete, in order, and jumps exactly where its splits say."""

from datetime import date, datetime
from typing import Any

import exchange_calendars
import pytest
import requests

from deployments.replay import NEW_YORK, Feed, recorded_rows, recorded_splits, symbols
from stockml.provider.client import parse_delisted
from tests.support.patience import PATIENCE_S
from tests.support.recordings import recorded
from tests.support.scripted_feed import ScriptedFeed


def ask(feed: ScriptedFeed, key: str = "somekey", **query: str) -> Any:
    asked = {"function": "TIME_SERIES_DAILY", "symbol": "IBM", "apikey": key} | query
    return requests.get(feed.url, params=asked, timeout=PATIENCE_S).json()


def test_compact_is_the_newest_hundred_sessions_newest_first(feed: ScriptedFeed) -> None:
    reply = ask(feed)
    series = reply["Time Series (Daily)"]
    assert list(series) == sorted(series, reverse=True)
    assert (len(series), next(iter(series))) == (100, "2013-03-01")
    assert series["2013-02-28"]["1. open"] == f"{recorded_rows('IBM')[-2].open:.4f}"


def test_full_is_the_whole_recording_for_a_premium_key(feed: ScriptedFeed) -> None:
    reply = ask(feed, "premium-key", outputsize="full")
    assert len(reply["Time Series (Daily)"]) == 3270
    assert reply["Meta Data"]["4. Output Size"] == "Full size"


@pytest.mark.parametrize(
    ("key", "query", "field", "says"),
    [
        ("free", {"outputsize": "full"}, "Information", "is a premium feature"),
        ("free", {"symbol": "NOPE"}, "Error Message", "Invalid API call."),
        ("free", {"symbol": "NOPE", "function": "SPLITS"}, "Error Message", "for SPLITS."),
        ("free", {"function": "DAYLY"}, "Error Message", "(DAYLY) does not exist."),
        ("demo", {}, "Information", "The **demo** API key is for demo purposes only."),
        ("no good key", {}, "Error Message", "the parameter apikey is invalid or missing."),
    ],
)
def test_refusals_carry_the_providers_own_text(
    feed: ScriptedFeed, key: str, query: dict[str, str], field: str, says: str
) -> None:
    reply = ask(feed, key, **query)
    assert list(reply) == [field]
    assert says in reply[field]


def test_the_symbol_is_echoed_as_asked_and_a_bad_outputsize_becomes_compact(
    feed: ScriptedFeed,
) -> None:
    reply = ask(feed, symbol="ibm", outputsize="huge")
    assert (reply["Meta Data"]["2. Symbol"], len(reply["Time Series (Daily)"])) == ("ibm", 100)


def test_the_newest_volume_is_provisional_and_restated_the_next_night(feed: ScriptedFeed) -> None:
    final = next(row.volume for row in recorded_rows("IBM") if row.session == date(2013, 2, 28))
    shown = []
    for night in (date(2013, 2, 28), date(2013, 3, 1)):
        feed.set_clock(night)
        shown.append(int(ask(feed)["Time Series (Daily)"]["2013-02-28"]["5. volume"]))
    assert shown == [int(final * 0.985), final]


@pytest.mark.parametrize(
    ("now", "newest"),
    [
        ("2013-02-28T17:59:00-05:00", "2013-02-27"),
        ("2013-02-28T18:00:00-05:00", "2013-02-28"),
        ("2013-02-24T12:00:00-05:00", "2013-02-22"),
    ],
)
def test_a_bar_is_absent_before_it_is_published(feed: ScriptedFeed, now: str, newest: str) -> None:
    feed.set_clock(datetime.fromisoformat(now))
    assert ask(feed)["Meta Data"]["3. Last Refreshed"] == newest
    assert feed.newest.isoformat() == newest


def test_a_new_listing_has_fewer_sessions_and_is_unknown_before_its_first(
    feed: ScriptedFeed,
) -> None:
    feed.set_clock(date(2012, 5, 22))
    assert list(ask(feed, symbol="FB")["Time Series (Daily)"])[1:] == ["2012-05-21", "2012-05-18"]
    feed.set_clock(date(2012, 5, 17))
    assert "Invalid API call" in ask(feed, symbol="FB")["Error Message"]


@pytest.mark.parametrize(
    ("clock", "symbol", "splits"),
    [
        (date(2013, 3, 1), "AAPL", [("2005-02-28", "2.0000"), ("2000-06-21", "2.0000")]),
        (datetime(2005, 2, 28, 9, tzinfo=NEW_YORK), "AAPL", [("2000-06-21", "2.0000")]),
        (date(2013, 3, 1), "IBM", []),
    ],
)
def test_splits_are_those_known_at_the_feeds_clock_newest_first(
    feed: ScriptedFeed, clock: date | datetime, symbol: str, splits: list[tuple[str, str]]
) -> None:
    feed.set_clock(clock)
    reply = ask(feed, symbol=symbol, function="SPLITS")
    assert reply["symbol"] == symbol
    assert [(row["effective_date"], row["split_factor"]) for row in reply["data"]] == splits


def test_no_share_of_the_recording_is_delisted() -> None:
    with Feed() as feed:
        asked = {"function": "LISTING_STATUS", "state": "delisted", "apikey": "any"}
        listed = requests.get(f"{feed.address}/query", asked, timeout=PATIENCE_S).content
    assert parse_delisted(listed) == {}


@pytest.mark.parametrize("symbol", symbols())
def test_every_session_of_the_exchange_has_one_sound_bar(symbol: str) -> None:
    bars = recorded(symbol)
    calendar = exchange_calendars.get_calendar("XNYS", start="2000-01-01", end="2013-12-31")
    assert list(bars.index) == list(calendar.sessions_in_range(bars.index[0], bars.index[-1]))
    assert bars.index.name == "session"
    assert [str(kind) for kind in bars.dtypes] == ["float64"] * 5
    assert (bars.low <= bars[["open", "close"]].min(axis=1)).all()
    assert (bars.high >= bars[["open", "close"]].max(axis=1)).all()
    assert (bars > 0).all().all()


@pytest.mark.parametrize("symbol", ["AAPL", "MSFT"])
def test_a_split_divides_the_raw_close_by_its_factor(symbol: str) -> None:
    raw = recorded(symbol).close
    for split in recorded_splits(symbol):
        at = list(raw.index.date).index(split.effective)
        assert raw.iloc[at - 1] / raw.iloc[at] == pytest.approx(split.factor, rel=0.1)
