"""Imported history is joined with the fetched bars by their overlap, kept once, and refused where
it does not fit."""

import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from stockml.errors import InconsistentOverlap, NoBars, NoOverlap
from stockml.storage.files import sha256_of
from tests.stockml.prices.stored import (
    IBM,
    MSFT,
    NOW,
    SPLIT,
    append,
    imported,
    judge,
    record_listed,
    restated,
    scaled,
)
from tests.support.recordings import recorded

HOLE = IBM.loc["2012-06-01":"2012-08-31"].index
WITH_HOLE = IBM.loc["2012":].drop(HOLE)


def holes(store):
    return store.view("IBM").holes(store.sessions("IBM"))


def test_imports_are_usable_before_any_bar_was_fetched_and_one_within_another_takes_nothing(store):
    for part in (slice(2000), slice(500, 1000)):
        imported(store, IBM.iloc[part])
    assert store.adjusted("IBM").equals(IBM.iloc[:2000])
    assert store.last_session("IBM") is None
    with pytest.raises(NoBars):
        store.read("IBM")


def test_history_is_joined_by_its_overlap_with_the_fetched_bars(store):
    imported(store, scaled(IBM.iloc[:3200], 0.5))
    append(store, IBM.iloc[-100:], days=1)
    series = store.adjusted("IBM")
    assert series.index.equals(IBM.index)
    np.testing.assert_allclose(series["close"], IBM["close"], rtol=1e-12)
    until = IBM.index[3100].date()
    known = store.adjusted("IBM", until=until)["close"]
    np.testing.assert_allclose(known, IBM["close"].iloc[:3101] * 0.5)
    early = NOW.replace(tzinfo=None) - timedelta(microseconds=1)
    with pytest.raises(NoBars, match=f"{re.escape(str(NOW))} or a later time: the first was"):
        store.adjusted("IBM", as_of=early)


def test_a_bar_is_judged_whether_it_was_imported_or_fetched(store):
    imported(store, IBM.iloc[:3200])
    append(store, IBM.iloc[-100:])
    days = [IBM.index[row].date() for row in (0, 3180, -1)]
    for day in days:
        judge(store, day)
    assert [bar.session for bar in store.view("IBM").set_aside] == days
    append(store, restated(IBM, 3180, "high", 1.01).iloc[-100:], days=1)
    set_aside = [bar.session for bar in store.view("IBM").set_aside]
    assert set_aside == [days[0], days[2]], "of a bar in both, the fetched"


def test_history_reaches_back_through_splits_of_the_fetched_bars(store):
    append(store, MSFT.loc["2002-12-01":], ticker="MSFT")
    record_listed(store, [SPLIT])
    imported(store, MSFT.loc[:"2003-01-31"], ticker="MSFT")
    close, traded = store.adjusted("MSFT")["close"], MSFT["close"]
    np.testing.assert_allclose(close, traded.where(traded.index >= "2003-02-18", traded / 2))


def test_an_import_that_leaves_a_gap_is_refused_until_another_bridges_it(store):
    append(store, IBM.iloc[-100:])
    old, bridge = scaled(IBM.iloc[:2000], 0.25), scaled(IBM.iloc[1900:3200], 0.5)
    with pytest.raises(NoOverlap) as refusal:
        imported(store, old)
    assert refusal.value.missing == tuple(day.date() for day in IBM.index[2000:3171])
    assert store.adjusted("IBM").equals(IBM.iloc[-100:])
    for history in (bridge, old):
        imported(store, history)
    np.testing.assert_allclose(store.adjusted("IBM")["close"], IBM["close"], rtol=1e-12)


def test_a_file_fills_a_hole_only_if_it_also_overlaps_the_bars_around_it(store):
    append(store, WITH_HOLE)
    with pytest.raises(NoOverlap, match="2012-08-31, 2012-09-04 missing"):
        imported(store, scaled(IBM.loc["2012-06-04":"2012-08-30"], 0.5))
    assert len(holes(store)) == len(HOLE)
    imported(store, scaled(IBM.loc["2012-06-01":"2012-09-14"], 0.5))
    assert holes(store) == ()
    np.testing.assert_allclose(store.adjusted("IBM")["close"], IBM.loc["2012":]["close"])


def test_a_file_within_the_bars_that_does_not_fit_them_is_refused_or_skipped_if_stored_before(
    store,
):
    """An earlier version stored such files without using them; a ticker's nights must not fail
    because of them now."""
    parts = (("2012-05-01", "2012-07-31", 0.5), ("2012-08-01", "2012-10-31", 0.4))
    uneven = pd.concat([scaled(IBM.loc[first:last], factor) for first, last, factor in parts])
    imported(store, uneven)
    append(store, WITH_HOLE)
    assert store.adjusted("IBM").equals(WITH_HOLE)
    with pytest.raises(InconsistentOverlap):
        imported(store, scaled(uneven, 2.0))
    imported(store, IBM.loc["2012-05-01":"2012-10-30"])
    assert holes(store) == ()


def test_bars_that_do_not_reach_or_fit_the_history_are_stored_and_the_series_is_refused(store):
    for ticker, history, fault in (
        ("IBM", IBM.iloc[:2000], NoOverlap),
        ("AAPL", recorded("AAPL").iloc[:3220], InconsistentOverlap),
    ):
        imported(store, history, ticker=ticker)
        append(store, IBM.iloc[-100:], ticker=ticker)
        assert store.read(ticker).equals(IBM.iloc[-100:])
        with pytest.raises(fault):
            store.adjusted(ticker)


def test_an_import_that_does_not_fit_is_refused_and_leaves_nothing(store):
    append(store, IBM.iloc[-100:])
    with pytest.raises(InconsistentOverlap):
        imported(store, recorded("AAPL").iloc[:3220])
    assert store.adjusted("IBM").equals(IBM.iloc[-100:])
    assert not (Path(store.root) / "history").exists()


def test_the_same_history_is_kept_once_and_a_newer_one_of_the_same_days_replaces_it(store):
    history, path = IBM.iloc[:2000], f"{store.root}/history/IBM.parquet"
    assert imported(store, history)
    kept = sha256_of(path)
    assert not imported(store, history, days=1)
    assert sha256_of(path) == kept
    newer = scaled(history, 0.5)
    assert imported(store, newer)
    assert store.adjusted("IBM").equals(newer)
    assert store.adjusted("IBM", as_of=NOW).equals(history)
    assert imported(store, history)
    assert store.adjusted("IBM").equals(history)
    assert pl.read_parquet(path)["source"].unique().to_list() == ["test"]


def test_a_broken_bar_stays_set_aside_where_a_history_adjusted_for_dividends_has_its_session_and_cannot_fill_it(
    store,
):
    """It was told as a session without a bar; a night of that session ended as failed."""
    append(store, restated(IBM.iloc[-100:], -1, "close", np.nan))
    paid = IBM.iloc[-400:].copy()
    paid.iloc[:-30, :4] *= 0.985
    imported(store, paid, days=1)
    (bar,) = store.view("IBM").set_aside
    assert bar.session == IBM.index[-1].date()
    assert "close nan" in bar.reason
    assert holes(store) == ()
    judge(store, bar.session, accepted=True, days=2)
    assert store.view("IBM").set_aside == (bar,), (
        "the history's bar, which is not used, is accepted"
    )
