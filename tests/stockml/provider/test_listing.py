"""A share that is no longer listed is at rest. One request a week asks for all, and only where a
feed fell silent."""

from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta

import pytest

from stockml.errors import NoData, UnknownSymbol
from stockml.nights import ingest
from stockml.prices.store import BarStore
from stockml.provider.client import HEADER, AlphaVantage, Delistings, parse_delisted
from stockml.storage.locks import FileNotes
from tests.stockml.prices.stored import IBM, append
from tests.support import PAYLOADS
from tests.support.scripted_feed import Fault, ScriptedFeed

GONE = date(2013, 2, 20)
NOW = datetime(2013, 3, 1, 4, tzinfo=UTC)


def client(home, feed, now=NOW):
    environ = {"ALPHAVANTAGE_API_KEY": "K3Y12345", "ALPHAVANTAGE_URL": feed.url}
    return AlphaVantage(
        environ, FileNotes(home.quota), clock=lambda: now, sleep=lambda seconds: None
    )


def keep_bars(home, ticker, last):
    append(BarStore.of(home), IBM.loc[: str(last)].iloc[-3:], NOW, ticker=ticker)


def test_one_request_a_week_serves_all_tickers(home):
    keep_bars(home, "IBM", GONE)
    with ScriptedFeed(delisted={"IBM": GONE, "MSFT": date(2013, 3, 1)}) as feed:
        # lastly, the clock was set back by a week
        for later, requests in ((0, 1), (6, 1), (7, 2), (-1, 3)):
            now = NOW + timedelta(days=later)
            with client(home, feed, now) as provider:
                asked = ingest.ask_who_is_delisted(home, provider, "IBM", now)
            assert (asked, feed.requests) == (later != 6, requests)
    assert "2013-02-20" in str(ingest.delisted_status(home, "IBM", date(2013, 2, 28)))
    assert ingest.delisted_status(home, "IBM", GONE)
    assert ingest.delisted_status(home, "IBM", date(2013, 2, 19)) is None
    assert ingest.delisted_status(home, "AAPL", date(2013, 2, 28)) is None


@pytest.mark.parametrize(
    ("ticker", "last", "rests"),
    [
        ("IBM", None, True),
        ("IBM", date(2013, 2, 19), True),
        ("IBM", GONE, True),
        ("IBM", date(2013, 2, 28), False),
        ("AA.W", GONE, True),
    ],
)
def test_a_symbol_is_at_rest_if_its_bars_end_by_the_delisting_and_not_if_they_go_on(
    home, ticker, last, rests
):
    """Where they go on, the symbol is another company's by now."""
    Delistings(NOW, {"IBM": GONE, "AA-W": GONE}).write(home.delistings)
    if last:
        keep_bars(home, ticker, last)
    assert bool(ingest.delisted_status(home, ticker, NOW.date())) is rests


@pytest.mark.parametrize(
    "damaged",
    [b"", b'{"asked": "2013-02-28T12:00:00", "days": {}}', b'{"asked": null, "days": [1]}'],
)
def test_a_damaged_list_is_asked_for_again(tmp_path, damaged):
    """It ended each night of every ticker, and the morning's report, until somebody deleted it."""
    (path := tmp_path / "delistings.json").write_bytes(damaged)
    delistings = Delistings.read(path)
    assert delistings.due(NOW)
    assert delistings.day_of("IBM") is None


def test_a_refused_request_raises_like_any_other_and_keeps_the_last_answer(home, feed):
    Delistings(NOW - timedelta(days=9), {"IBM": GONE}).write(home.delistings)
    feed.outage(Fault.file(PAYLOADS / "err_invalid_symbol.json"))
    for hours, refused in ((0, True), (0, False), (23, True)):  # half a day apart
        now = NOW + timedelta(hours=hours)
        with (
            client(home, feed, now) as provider,
            pytest.raises(UnknownSymbol) if refused else nullcontext(),
        ):
            assert not ingest.ask_who_is_delisted(home, provider, "IBM", now)
    assert Delistings.read(home.delistings).days == {"IBM": GONE}


def test_a_listing_is_parsed_and_any_other_answer_is_refused():
    rows = [
        "AA-W,A,NYSE,Stock,1990-01-02,2016-11-01,Delisted",
        "fb,F,NASDAQ,Stock,2012-05-18,null,Active",
        "IBM,I,NYSE,Stock,1990-01-02,2001-01-02,Delisted",
        "IBM,I,NYSE,Stock,2002-01-02,2013-02-20,Delisted",
    ]
    content = "\r\n".join([HEADER, *rows, ""]).encode()
    assert parse_delisted(content) == {"AA-W": date(2016, 11, 1), "IBM": GONE}
    unclosed = content + b'KO,"K,NYSE' + b"\r\nA,B,C" * 20_000
    for wrong in (b"{}", b"symbol,price\r\nIBM,1\r\n", unclosed):
        with pytest.raises(NoData):
            parse_delisted(wrong)
