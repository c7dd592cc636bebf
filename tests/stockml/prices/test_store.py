"""The store: what is added and unchanged, what was first known, what is refused, and who else can
read its files."""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from stockml.errors import InvalidTicker, NoBars
from tests.stockml.prices.stored import (
    IBM,
    MSFT,
    NOW,
    SPLIT,
    append,
    imported,
    record_listed,
    restated,
    scaled,
)


def test_what_was_first_known_of_a_bar_stays_visible_in_the_shares_of_any_session(store):
    bars = MSFT.iloc[700:800]
    append(store, bars, ticker="MSFT")
    assert store.restated_price_factors("MSFT").empty
    high = restated(bars, 30, "high", 1.01)
    append(store, restated(high, 40, "volume", 1.1), days=1, ticker="MSFT")
    append(store, restated(bars, 30, "high", 1.02), days=2, ticker="MSFT")
    record_listed(store, [SPLIT])
    imported(store, scaled(MSFT.iloc[:720], 0.25), ticker="MSFT")
    day = MSFT.index[730]
    for until, units in ((date(2003, 2, 14), 1.0), (None, 0.5)):
        newest = store.adjusted("MSFT", until=until)
        first = store.first_known("MSFT", until=until)
        assert first.index.equals(newest.index)
        assert first.index[0] == MSFT.index[0]
        assert first["high"][day] == MSFT["high"][day] * units
        assert newest["high"][day] == pytest.approx(first["high"][day] * 1.02)
        assert first.index[(first != newest).any(axis=1)].tolist() == [day]
        assert store.restated_price_factors("MSFT", until=until).to_dict() == {day: units}
    assert store.restated_price_factors("MSFT", until=MSFT.index[699].date()).empty
    assert store.first_known("MSFT", until=day.date())["high"].iloc[-1] == MSFT["high"][day]


def test_first_known_has_the_sessions_of_the_series_even_where_an_import_filled_a_hole(store):
    append(store, IBM.iloc[-100:-60])
    newest = IBM.iloc[-40:]
    for days, factor in enumerate((-1.0, 1.0, 0.99)):
        append(store, restated(newest, 5, "low", factor), days=days)
    imported(store, IBM.iloc[:-20])
    assert store.first_known("IBM").equals(IBM)
    assert store.adjusted("IBM").equals(restated(IBM, -35, "low", 0.99))


def test_reading_what_is_not_there_says_so_and_creates_nothing(store):
    for read in (store.read, store.adjusted, store.first_known):
        with pytest.raises(NoBars, match=r"of IBM; fetch with .*stockml import"):
            read("IBM")
    assert (store.tickers(), store.splits("IBM"), store.unexplained_jumps("IBM")) == ((), (), ())
    assert store.last_session("IBM") is None
    assert store.restatements("IBM").empty
    assert not Path(store.root).exists()
    append(store, IBM)
    early, before = date(1990, 1, 2), NOW - timedelta(days=1)
    for bound, told in (
        ({"as_of": before}, "recorded by [^;]*; name"),
        ({"until": early}, "up to 1990-01-02; fetch"),
        ({"until": early, "as_of": NOW}, "recorded by [^;]*; fetch"),
    ):
        with pytest.raises(NoBars, match=f"no bars of IBM {told}"):
            store.read("IBM", **bound)
    with pytest.raises(NoBars, match="is of 2000-03-01, after 1990-01-02; name a later session"):
        store.adjusted("IBM", until=early)


@pytest.mark.parametrize("ticker", ["../IBM", "IBM/../X", "", "a b", "NUL"])
def test_an_invalid_ticker_touches_no_path(store, ticker):
    with pytest.raises(InvalidTicker):
        append(store, IBM, ticker=ticker)
    with pytest.raises(InvalidTicker):
        store.read(ticker)


def test_other_programs_can_read_the_files(store):
    path = append(store, IBM).path
    rows = f"select session, close, recorded_at, source from '{path}' order by session"
    session, close = IBM.index[-1].date(), IBM["close"].iloc[-1]
    assert duckdb.sql(rows).fetchall()[-1] == (session, close, NOW, "test")
    assert pl.read_parquet(path).row(-1)[4:] == (close, IBM["volume"].iloc[-1], NOW, "test")


def test_tickers_are_those_with_bars_or_history(store):
    for ticker in ("BRK.B", "BRK-B"):
        append(store, IBM, ticker=ticker)
    imported(store, IBM.iloc[:200], ticker="AAL")
    record_listed(store, [SPLIT])
    assert store.tickers() == ("AAL", "BRK-B", "BRK.B")


def test_a_rename_takes_everything_that_is_stored_along(store):
    append(store, MSFT, ticker="MSFT")
    record_listed(store, [SPLIT])
    adjusted = store.adjusted("MSFT")
    assert store.rename("MSFT", "NEW")
    assert not store.rename("MSFT", "NEW")
    assert (store.tickers(), store.splits("NEW")) == (("NEW",), (SPLIT,))
    assert store.adjusted("NEW").equals(adjusted)
