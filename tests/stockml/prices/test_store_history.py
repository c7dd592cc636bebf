"""Imported history is joined with the fetched bars by their overlap, kept once, and refused where
it does not fit."""

import re
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from stockml.errors import InconsistentOverlap, NoBars, NoOverlap
from stockml.prices.bars import Split
from stockml.storage.files import sha256_of
from tests.stockml.prices.stored import IBM, NOW, append, imported, record_listed, restated, scaled
from tests.support.recordings import recorded


def test_history_is_usable_before_any_bar_was_fetched(store):
    imported(store, IBM.iloc[:2000])
    assert store.adjusted("IBM").equals(IBM.iloc[:2000])
    assert store.last_session("IBM") is None
    with pytest.raises(NoBars):
        store.read("IBM")


def test_an_import_within_an_earlier_one_takes_nothing_from_it(store):
    for part in (slice(2000), slice(500, 1000)):
        imported(store, IBM.iloc[part])
    assert store.adjusted("IBM").equals(IBM.iloc[:2000])


def test_history_is_joined_by_its_overlap_with_the_fetched_bars(store):
    imported(store, scaled(IBM.iloc[:3200], 0.5))
    append(store, IBM.iloc[-100:], NOW + timedelta(days=1))
    series = store.adjusted("IBM")
    assert series.index.equals(IBM.index)
    np.testing.assert_allclose(series["close"], IBM["close"], rtol=1e-12)
    with pytest.raises(NoBars, match=f"the first bar of IBM is of {IBM.index[0].date()}"):
        store.adjusted("IBM", until=date(1990, 1, 2))
    for view, first in ((store.adjusted, NOW), (store.read, NOW + timedelta(days=1))):
        with pytest.raises(
            NoBars,
            match=f"name {re.escape(str(first))} or a later time: the first was recorded then$",
        ):
            view("IBM", as_of=NOW.replace(tzinfo=None) - timedelta(microseconds=1))
    until = IBM.index[3100].date()
    np.testing.assert_allclose(
        store.adjusted("IBM", until=until)["close"], IBM["close"].iloc[:3101] * 0.5
    )


def test_a_bar_is_judged_whether_it_was_imported_or_fetched(store):
    imported(store, IBM.iloc[:3200])
    append(store, IBM.iloc[-100:])
    days = [IBM.index[row].date() for row in (0, 3180, -1)]
    for day in days:
        store.judge("IBM", day, accepted=False, recorded_at=NOW, source="test")
    assert [bar.session for bar in store.view("IBM").set_aside] == days
    fetched = IBM.iloc[-100:]
    append(
        store,
        restated(fetched, fetched.index.get_loc(IBM.index[3180]), "high", 1.01),
        NOW + timedelta(days=1),
    )
    assert [bar.session for bar in store.view("IBM").set_aside] == [days[0], days[2]], (
        "of a bar in both, the fetched"
    )


def test_history_reaches_back_through_splits_of_the_fetched_bars(store):
    bars = recorded("MSFT")
    append(store, bars.loc["2002-12-01":], ticker="MSFT")
    record_listed(store, [Split(date(2003, 2, 18), 2.0)])
    imported(store, bars.loc[:"2003-01-31"], ticker="MSFT")
    series = store.adjusted("MSFT")
    np.testing.assert_allclose(
        series["close"].loc[:"2003-02-14"], bars["close"].loc[:"2003-02-14"] / 2
    )
    np.testing.assert_allclose(series["close"].loc["2003-02-18":], bars["close"].loc["2003-02-18":])


def test_an_import_that_leaves_a_gap_is_refused_until_another_bridges_it(store):
    append(store, IBM.iloc[-100:])
    old, bridge = scaled(IBM.iloc[:2000], 0.25), scaled(IBM.iloc[1900:3200], 0.5)
    with pytest.raises(NoOverlap) as refusal:
        imported(store, old)
    assert refusal.value.missing == tuple(day.date() for day in IBM.index[2000:3171])
    assert store.adjusted("IBM").equals(IBM.iloc[-100:])
    imported(store, bridge)
    imported(store, old)
    np.testing.assert_allclose(store.adjusted("IBM")["close"], IBM["close"], rtol=1e-12)


def test_a_file_fills_a_hole_only_if_it_also_overlaps_the_bars_around_it(store):
    hole = IBM.loc["2012-06-01":"2012-08-31"].index
    append(store, IBM.loc["2012":][~IBM.loc["2012":].index.isin(hole)])
    with pytest.raises(NoOverlap, match="2012-08-31, 2012-09-04 missing"):
        imported(store, scaled(IBM.loc["2012-06-04":"2012-08-30"], 0.5))
    assert len(store.view("IBM").holes(store.sessions("IBM"))) == len(hole)
    imported(store, scaled(IBM.loc["2012-06-01":"2012-09-14"], 0.5))
    assert store.view("IBM").holes(store.sessions("IBM")) == ()
    np.testing.assert_allclose(store.adjusted("IBM")["close"], IBM.loc["2012":]["close"])


def test_a_file_within_the_bars_that_does_not_fit_them_is_refused_or_skipped_if_stored_before(
    store,
):
    """An earlier version stored such files without using them; a ticker's nights must not fail
    because of them now."""
    hole = IBM.loc["2012-06-01":"2012-08-31"].index
    uneven = pd.concat(
        [
            scaled(IBM.loc["2012-05-01":"2012-07-31"], 0.5),
            scaled(IBM.loc["2012-08-01":"2012-10-31"], 0.4),
        ]
    )
    imported(store, uneven)
    bars = IBM.loc["2012":][~IBM.loc["2012":].index.isin(hole)]
    append(store, bars)
    assert store.adjusted("IBM").equals(bars)
    with pytest.raises(InconsistentOverlap):
        imported(store, scaled(uneven, 2.0))
    imported(store, IBM.loc["2012-05-01":"2012-10-30"])
    assert store.view("IBM").holes(store.sessions("IBM")) == ()


def test_bars_that_do_not_reach_the_history_are_stored_and_the_gap_is_named(store):
    imported(store, IBM.iloc[:2000])
    append(store, IBM.iloc[-100:])
    assert store.read("IBM").equals(IBM.iloc[-100:])
    with pytest.raises(NoOverlap, match=str(IBM.index[2000].date())):
        store.adjusted("IBM")


def test_an_import_that_does_not_fit_is_refused_and_leaves_nothing_and_one_that_was_there_first_is_not_left_out(
    store,
):
    append(store, IBM.iloc[-100:])
    with pytest.raises(InconsistentOverlap):
        imported(store, recorded("AAPL").iloc[:3220])
    assert store.adjusted("IBM").equals(IBM.iloc[-100:])
    assert not (Path(store.root) / "history").exists()
    imported(store, recorded("AAPL").iloc[:3220], ticker="AAPL")
    append(store, IBM.iloc[-100:], ticker="AAPL")
    with pytest.raises(InconsistentOverlap):
        store.adjusted("AAPL")


def test_the_same_history_is_kept_once_with_its_first_source(store):
    assert store.record_import(
        "IBM", IBM.iloc[:2000], recorded_at=NOW, source="ibm.us.txt sha256:0123"
    )
    kept = sha256_of(f"{store.root}/history/IBM.parquet")
    assert not imported(store, IBM.iloc[:2000], days=1)
    assert sha256_of(f"{store.root}/history/IBM.parquet") == kept
    rows = pl.read_parquet(f"{store.root}/history/IBM.parquet")
    assert rows["source"].unique().to_list() == ["ibm.us.txt sha256:0123"]


def test_a_newer_import_of_the_same_days_replaces_the_older(store):
    imported(store, IBM.iloc[:2000])
    imported(store, scaled(IBM.iloc[:2000], 0.5))
    assert store.adjusted("IBM").equals(scaled(IBM.iloc[:2000], 0.5))
    assert store.adjusted("IBM", as_of=NOW).equals(IBM.iloc[:2000])
    assert imported(store, IBM.iloc[:2000])
    assert store.adjusted("IBM").equals(IBM.iloc[:2000])


def test_a_broken_bar_stays_set_aside_where_a_history_adjusted_for_dividends_has_its_session_and_cannot_fill_it(
    store,
):
    """It was told as a session without a bar; a night of that session ended as failed."""
    append(store, restated(IBM.iloc[-100:], -1, "close", np.nan))
    paid = IBM.iloc[-400:].copy()
    paid.iloc[:-30, :4] *= 0.985
    imported(store, paid, days=1)
    view = store.view("IBM")
    assert [bar.session for bar in view.set_aside] == [IBM.index[-1].date()]
    assert "close nan" in view.set_aside[0].reason
    assert view.holes(store.sessions("IBM")) == ()
    store.judge(
        "IBM",
        IBM.index[-1].date(),
        accepted=True,
        recorded_at=NOW + timedelta(days=2),
        source="a person",
    )
    assert store.view("IBM").set_aside == view.set_aside, (
        "what is accepted is the history's bar, which is not used"
    )
