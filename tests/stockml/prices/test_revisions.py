"""Rows are only added, and what was known at a time stays the view of it: over generated bars,
payloads and orders."""

import tempfile
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from stockml.prices.bars import Bars, Split
from stockml.prices.revisions import BAR_SCHEMA
from stockml.prices.store import SCHEMAS, BarStore
from stockml.storage.files import sha256_of
from tests.stockml.prices.stored import IBM, NOW, append, restated
from tests.stockml.prices.test_store import counts
from tests.support import strategies
from tests.support.strategies import RECORDING_STARTS, bars_of


@contextmanager
def empty_store():
    with tempfile.TemporaryDirectory() as folder:
        yield BarStore(Path(folder) / "store", Path(folder) / "locks")


def values_of(bars: Bars) -> dict:
    """By session; an unknown value is None, which equals itself."""
    known = bars.astype(object).where(bars.notna(), None)
    return {
        day.date(): tuple(row)
        for day, row in zip(bars.index, known.to_numpy().tolist(), strict=True)
    }


@given(strategies.series(), st.data())
def test_any_order_and_any_batches_give_the_same_view(bars, data):
    batches = data.draw(
        st.lists(st.lists(st.sampled_from(range(len(bars))), min_size=1, unique=True), max_size=6)
    )
    batches = data.draw(st.permutations([*batches, list(range(len(bars)))]))
    with empty_store() as store:
        for number, rows in enumerate(batches):
            append(store, bars.iloc[sorted(rows)], RECORDING_STARTS + timedelta(hours=number))
        assert store.read("IBM").equals(bars)
        assert store.restatements("IBM").empty


@given(strategies.payloads())
def test_appending_twice_changes_no_byte(payloads):
    with empty_store() as store:
        arrived = []
        for recorded_at, bars in payloads:
            arrived.append((recorded_at, bars, store.rows("IBM")))
            first = append(store, bars, recorded_at)
            again = append(store, bars, recorded_at)
            assert again.sha256 == first.sha256 == sha256_of(first.path)
            assert (again.added, again.restated, again.unchanged) == (0, 0, len(bars))
        for recorded_at, bars, rows_before in arrived:
            session, given = (
                bars.index[-1].date(),
                {"recorded_at": recorded_at, "rows_before": rows_before},
            )
            assert (
                store.append("IBM", bars, source="test", session=session, **given).sha256
                == first.sha256
            )


@given(strategies.payloads())
def test_a_view_as_of_a_time_never_shows_later_knowledge(payloads):
    known: dict = {}
    models = []
    with empty_store() as store:
        for recorded_at, bars in payloads:
            receipt = append(store, bars, recorded_at)
            news = values_of(bars)
            assert receipt.added == len(news.keys() - known.keys())
            assert receipt.restated == sum(
                known[day] != news[day] for day in news.keys() & known.keys()
            )
            known = {**known, **news}
            models.append((recorded_at, known))
        for recorded_at, model in models:
            assert store.read("IBM", as_of=recorded_at).equals(bars_of(model))
        for (time, model), (next_time, _) in pairwise(models):
            assert store.read("IBM", as_of=next_time - timedelta(microseconds=1)).equals(
                bars_of(model)
            )
            assert store.read("IBM", as_of=time).equals(bars_of(model))


@given(strategies.payloads(), st.lists(st.integers(-(10**9), 10**9), min_size=5, max_size=5))
def test_the_newest_answer_counts_however_the_clock_is_set(payloads, offsets):
    known: dict = {}
    views = {}  # two answers recorded in one microsecond are both known at that time
    with empty_store() as store:
        for offset, (_, bars) in zip(offsets, payloads, strict=False):
            recorded_at = RECORDING_STARTS + timedelta(microseconds=offset)
            append(store, bars, recorded_at)
            known |= values_of(bars)
            newest = store.files.read("IBM.parquet", "IBM", BAR_SCHEMA)["recorded_at"].to_numpy()
            assert (np.diff(newest) >= np.timedelta64(0, "D")).all()
            views[newest[-1].astype("datetime64[us]").item()] = store.read("IBM")
        assert store.read("IBM").equals(bars_of(known))
        for time, view in views.items():
            assert store.read("IBM", as_of=time).equals(view)


@given(
    strategies.series(),
    st.lists(st.tuples(st.sampled_from(list(SCHEMAS)), st.integers(-5, 5)), max_size=8),
)
def test_what_all_four_tables_held_when_a_row_was_recorded_stays_their_view_of_that_time(
    bars, writes
):
    """However the clock is set. Rows of one microsecond are all known at that time."""
    first, known = bars.index[0].date(), {}
    with empty_store() as store:

        def rows_at(time=None):
            tables = {
                folder: store.files.read(f"{folder}IBM.parquet", "IBM", SCHEMAS[folder])
                for folder in SCHEMAS
            }
            times = {folder: table["recorded_at"].to_numpy() for folder, table in tables.items()}
            time = time or max(each.max() for each in times.values() if len(each))
            return time, {folder: int((each <= time).sum()) for folder, each in times.items()}

        for number, (folder, offset) in enumerate([("", 0), *writes]):
            news = bars.assign(volume=float(number))
            how = {
                "recorded_at": RECORDING_STARTS + timedelta(microseconds=offset),
                "source": "test",
            }
            match folder:
                case "":
                    store.append("IBM", news, session=first, **how)
                case "history/":
                    store.record_import("IBM", news, **how)
                case "splits/":
                    store.record_splits("IBM", [Split(date(2025, 1, 2), 2.0 + number)], **how)
                case _:
                    store.judge("IBM", first, accepted=bool(number % 2), **how)
            known |= [rows_at()]
        for time, rows in known.items():
            assert rows_at(time) == (time, rows)


def test_a_restated_bar_is_a_new_row_beside_the_old_one(store):
    for count in (60, 100):
        append(store, IBM.iloc[:count])
    later = NOW + timedelta(days=1)
    receipt = append(store, restated(IBM.iloc[1:101], -2, "volume", 1.015), later)
    assert counts(receipt) == (1, 1, 98)
    since = [
        store.recorded_between("IBM", moment)
        for moment in (NOW, later, later + timedelta(seconds=1))
    ]
    assert since == [(101, 1), (1, 1), (0, 0)]
    assert store.recorded_between("IBM", NOW, NOW) == (100, 0), "two answers of one moment"
    assert store.recorded_between("KO", NOW) == (0, 0)
    assert store.read("IBM")["volume"].iloc[99] == IBM["volume"].iloc[99] * 1.015
    assert store.read("IBM", as_of=NOW).equals(IBM.iloc[:100])
    assert len(pq.read_table(receipt.path)) == 102
    (row,) = store.restatements("IBM").to_dict("records")
    assert (row["session"].date(), row["column"], row["source"]) == (
        IBM.index[99].date(),
        "volume",
        "test",
    )
    assert (row["before"], row["after"]) == (IBM["volume"].iloc[99], IBM["volume"].iloc[99] * 1.015)
    assert row["recorded_at"] == pd.Timestamp(later)


def test_a_value_may_be_restated_back(store):
    append(store, IBM.iloc[:100])
    append(store, restated(IBM.iloc[:100], 50, "close", 1.0001), NOW + timedelta(days=1))
    assert counts(append(store, IBM.iloc[:100], NOW + timedelta(days=2))) == (0, 1, 99)
    assert store.read("IBM").equals(IBM.iloc[:100])
    assert store.restatements("IBM")["column"].tolist() == ["close", "close"]


def test_until_and_as_of_bound_the_view(store):
    append(store, IBM.iloc[:100])
    append(store, IBM.iloc[50:150], NOW + timedelta(days=1))
    assert store.read("IBM", until=IBM.index[120].date()).equals(IBM.iloc[:121])
    assert store.read("IBM", as_of=NOW, until=IBM.index[120].date()).equals(IBM.iloc[:100])
    assert store.read("IBM", as_of=NOW.replace(tzinfo=None)).equals(IBM.iloc[:100])
