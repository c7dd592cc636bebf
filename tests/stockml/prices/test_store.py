"""The store: what is added and unchanged, what was first known, what is refused, and who else can
read its files."""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest

from stockml.errors import BadPayload, InvalidTicker, NoBars
from stockml.prices.bars import Split
from stockml.storage.receipts import StoreReceipt
from tests.stockml.prices.stored import IBM, NOW, append, imported, record_listed, restated, scaled
from tests.support.recordings import recorded

LAST = date(2013, 3, 1)


def counts(receipt: StoreReceipt) -> tuple[int, int, int]:
    return receipt.added, receipt.restated, receipt.unchanged


def test_appending_again_changes_no_byte(store):
    first = append(store, IBM)
    written = Path(first.path).stat()
    for later in (timedelta(0), timedelta(days=1), -timedelta(days=1)):
        again = append(store, IBM.iloc[-100:], NOW + later)
        assert (counts(again), again.sha256) == ((0, 0, 100), first.sha256)
    assert Path(first.path).stat().st_mtime_ns == written.st_mtime_ns
    assert Path(first.path).stat().st_ino == written.st_ino


def test_first_recorded_values_stay_visible_in_todays_units(store):
    bars = recorded("MSFT")
    append(store, bars.iloc[700:800], ticker="MSFT")
    for days, factor in ((1, 1.01), (2, 1.02)):
        append(
            store,
            restated(bars.iloc[700:800], 30, "high", factor),
            NOW + timedelta(days=days),
            "MSFT",
        )
    record_listed(store, [Split(date(2003, 2, 18), 2.0)])
    imported(store, scaled(bars.iloc[:720], 0.25), ticker="MSFT")
    newest, first = store.adjusted("MSFT"), store.first_known("MSFT")
    assert first.index.equals(newest.index)
    assert (first.index[0], first["high"].iloc[730]) == (bars.index[0], bars["high"].iloc[730] / 2)
    changed = (first != newest).any(axis=1)
    assert changed[changed].index.tolist() == [bars.index[730]]
    assert newest["high"].iloc[730] == pytest.approx(first["high"].iloc[730] * 1.02)


def test_what_was_first_known_until_a_session_and_the_units_of_a_restated_one_are_in_that_sessions_shares(
    store,
):
    bars = recorded("MSFT")
    append(store, bars.iloc[700:800], ticker="MSFT")
    assert store.restated_price_factors("MSFT").empty
    again = restated(restated(bars.iloc[700:800], 30, "high", 1.01), 40, "volume", 1.1)
    append(store, again, NOW + timedelta(days=1), "MSFT")
    record_listed(store, [Split(date(2003, 2, 18), 2.0)])
    first, series = (
        store.first_known("MSFT", until=date(2003, 2, 14)),
        store.adjusted("MSFT", until=date(2003, 2, 14)),
    )
    assert first.index.equals(series.index)
    assert first["high"].equals(bars["high"].loc[first.index])
    assert store.restated_price_factors("MSFT", until=bars.index[699].date()).empty
    restated_day = store.first_known("MSFT", until=bars.index[730].date())
    assert restated_day["high"].iloc[-1] == bars["high"].iloc[730]
    for until, units in ((date(2003, 2, 14), 1.0), (None, 0.5)):
        assert store.restated_price_factors("MSFT", until=until).to_dict() == {
            bars.index[730]: units
        }


def test_first_known_has_the_sessions_of_the_series_even_where_an_import_filled_a_hole(store):
    append(store, IBM.iloc[-100:-60])
    append(store, restated(IBM.iloc[-40:], 5, "low", -1.0))
    append(store, IBM.iloc[-40:], NOW + timedelta(days=1))
    append(store, restated(IBM.iloc[-40:], 5, "low", 0.99), NOW + timedelta(days=2))
    imported(store, IBM.iloc[:-20])
    assert store.adjusted("IBM").index.equals(IBM.index)
    assert store.first_known("IBM").equals(IBM)
    assert store.adjusted("IBM")["low"].iloc[-35] == IBM["low"].iloc[-35] * 0.99


def test_an_answer_with_too_many_broken_bars_stores_nothing(store):
    broken = IBM.iloc[:100].copy()
    broken.iloc[50:60, broken.columns.get_loc("low")] *= 1.5
    with pytest.raises(BadPayload, match="low ≤ open"):
        append(store, broken)
    assert not Path(store.root).exists()


def test_reading_what_is_not_there_says_so_and_creates_nothing(store):
    for read in (store.read, store.adjusted, store.first_known):
        with pytest.raises(NoBars, match=r"of IBM; fetch with .*stockml import"):
            read("IBM")
    assert store.tickers() == ()
    assert store.splits("IBM") == ()
    assert store.last_session("IBM") is None
    assert store.unexplained_jumps("IBM") == ()
    assert store.restatements("IBM").empty
    assert not Path(store.root).exists()
    append(store, IBM)
    for bound, told in (
        ({"as_of": NOW - timedelta(days=1)}, "recorded by [^;]*; name"),
        ({"until": date(1990, 1, 2)}, "up to 1990-01-02; fetch"),
        ({"until": date(1990, 1, 2), "as_of": NOW}, "recorded by [^;]*; fetch"),
    ):
        with pytest.raises(NoBars, match=f"no bars of IBM {told}"):
            store.read("IBM", **bound)
    with pytest.raises(
        NoBars, match="first bar of IBM is of 2000-03-01, after 1990-01-02; name a later session"
    ):
        store.adjusted("IBM", until=date(1990, 1, 2))


@pytest.mark.parametrize("ticker", ["../IBM", "IBM/../X", "", "a b", "NUL"])
def test_an_invalid_ticker_touches_no_path(store, ticker):
    with pytest.raises(InvalidTicker):
        append(store, IBM, ticker=ticker)
    with pytest.raises(InvalidTicker):
        store.read(ticker)


def test_other_programs_can_read_the_files(store):
    receipt = append(store, IBM)
    append(store, recorded("MSFT"), ticker="MSFT")
    record_listed(store, [Split(date(2003, 2, 18), 2.0)])
    imported(store, IBM.iloc[:200])
    everything = f"{store.root}/*.parquet"
    assert duckdb.sql(f"select count(*), sum(close) from '{everything}'").fetchall() == [
        (6540, pytest.approx(IBM["close"].sum() + recorded("MSFT")["close"].sum()))
    ]
    newest = (
        "select distinct on (session) session, close from '{}' order by session, recorded_at desc"
    )
    rows = duckdb.sql(newest.format(receipt.path)).fetchall()
    assert rows[-1] == (LAST, IBM["close"].iloc[-1])
    frame = pl.read_parquet(receipt.path)
    assert frame["close"].to_list() == IBM["close"].to_list()
    assert str(frame.schema["recorded_at"]) == "Datetime(time_unit='us', time_zone='UTC')"
    assert pd.read_parquet(receipt.path)["source"].unique().tolist() == ["test"]


def test_tickers_are_those_with_bars_or_history(store):
    append(store, IBM, ticker="BRK.B")
    append(store, IBM, ticker="BRK-B")
    imported(store, IBM.iloc[:200], ticker="AAL")
    record_listed(store, [Split(date(2003, 2, 18), 2.0)])
    assert store.tickers() == ("AAL", "BRK-B", "BRK.B")
