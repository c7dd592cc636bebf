"""Rows are only added, and what was known at a time stays the view of it: over generated bars,
payloads and orders."""

import tempfile
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.prices.bars import Split
from stockml.prices.revisions import foreign_return_count
from stockml.prices.store import SCHEMAS, BarStore
from stockml.storage.files import sha256_of
from tests.stockml.prices.stored import IBM, NOW, append, restated
from tests.support import strategies
from tests.support.strategies import RECORDING_STARTS


@contextmanager
def empty_store():
    with tempfile.TemporaryDirectory() as folder:
        yield BarStore(Path(folder) / "store", Path(folder) / "locks")


def counts(receipt):
    return receipt.added, receipt.restated, receipt.unchanged


@given(strategies.payloads())
def test_appending_again_changes_no_byte_however_the_clock_is_set(payloads):
    with empty_store() as store:
        arrived = []
        for recorded_at, bars in payloads:
            arrived.append((recorded_at, bars, store.rows("IBM")))
            first = append(store, bars, recorded_at)
            for days in (0, 1, -1):
                again = append(store, bars, recorded_at, days=days)
                assert again.sha256 == first.sha256 == sha256_of(first.path)
                assert counts(again) == (0, 0, len(bars))
        for recorded_at, bars, rows_before in arrived:
            how = {"recorded_at": recorded_at, "source": "test", "session": bars.index[-1].date()}
            late = store.append("IBM", bars, rows_before=rows_before, **how)
            assert late.sha256 == first.sha256


@given(strategies.payloads())
def test_a_view_as_of_a_time_never_shows_later_knowledge(payloads):
    known, views = None, []
    with empty_store() as store:
        for recorded_at, bars in payloads:
            before = bars.iloc[:0] if known is None else known
            again = bars.index.intersection(before.index)
            changed = len(before.loc[again].compare(bars.loc[again]))
            receipt = append(store, bars, recorded_at)
            assert counts(receipt)[:2] == (len(bars) - len(again), changed)
            known = bars.combine_first(before.drop(again))
            views.append((recorded_at, known))
            assert store.read("IBM").equals(known)
        for (time, view), (next_time, _) in pairwise([*views, (payloads[-1][0] + timedelta(1), 0)]):
            for moment in (time, next_time - timedelta(microseconds=1)):
                assert store.read("IBM", as_of=moment).equals(view)


@given(
    strategies.series(),
    st.lists(st.tuples(st.sampled_from(list(SCHEMAS)), st.integers(-5, 5)), max_size=8),
)
def test_what_all_four_tables_held_when_a_row_was_recorded_stays_their_view_of_that_time(
    bars, writes
):
    day, known = bars.index[0].date(), {}
    with empty_store() as store:

        def rows_at(time=None):
            """The rows of each table recorded by then, or by the newest row's time; and that
            time."""
            files = {folder: (f"{folder}IBM.parquet", "IBM", SCHEMAS[folder]) for folder in SCHEMAS}
            times = {
                name: store.files.read(*file)["recorded_at"].to_numpy()
                for name, file in files.items()
            }
            time = time or max(each.max() for each in times.values() if len(each))
            return time, {name: int((each <= time).sum()) for name, each in times.items()}

        for number, (folder, offset) in enumerate([("", 0), *writes]):
            news = bars.assign(volume=float(number))
            at = RECORDING_STARTS + timedelta(microseconds=offset)
            how = {"recorded_at": at, "source": "test"}
            match folder:
                case "":
                    store.append("IBM", news, session=day, **how)
                    assert store.read("IBM").equals(news)
                case "history/":
                    store.record_import("IBM", news, **how)
                case "splits/":
                    store.record_splits("IBM", [Split(day, 2.0 + number)], **how)
                case _:
                    store.judge("IBM", day, accepted=number % 2 == 1, **how)
            known |= [rows_at()]
        for time, rows in known.items():
            assert rows_at(time) == (time, rows)


def test_a_restated_bar_is_a_new_row_beside_the_old_one(store):
    for count in (60, 100):
        append(store, IBM.iloc[:count])
    news, later = restated(IBM.iloc[1:101], -2, "volume", 1.015), NOW + timedelta(days=1)
    path = append(store, news, later).path
    since = {NOW: (101, 1), later: (1, 1), later + timedelta(seconds=1): (0, 0)}
    assert {moment: store.recorded_between("IBM", moment) for moment in since} == since
    assert store.recorded_between("IBM", NOW, NOW) == (100, 0), "two answers of one moment"
    assert store.recorded_between("KO", NOW) == (0, 0)
    assert store.read("IBM", as_of=NOW.replace(tzinfo=None)).equals(IBM.iloc[:100])
    assert store.read("IBM", until=IBM.index[98].date()).equals(IBM.iloc[:99])
    assert len(pq.read_table(path)) == 102
    (row,) = store.restatements("IBM").to_numpy().tolist()
    values = [bars["volume"][IBM.index[99]] for bars in (IBM, news)]
    assert row == [IBM.index[99], pd.Timestamp(later), "test", "volume", *values]


def test_a_value_may_be_restated_back(store):
    bars = IBM.iloc[:100]
    append(store, bars)
    append(store, restated(bars, 50, "close", 1.0001), days=1)
    assert counts(append(store, bars, days=2)) == (0, 1, 99)
    assert store.read("IBM").equals(bars)
    assert store.restatements("IBM")["column"].tolist() == ["close", "close"]


@pytest.mark.parametrize(("share", "count"), [(0.4, 0), (0.6, 29)])
def test_another_companys_closes_differ_by_more_than_half_a_usual_move(share, count):
    sides = np.resize([0.01, -0.01], 30)
    stored, answered = (
        pd.DataFrame({"close": 100 * np.exp(sides * by)}) for by in (1, 1 + 2 * share)
    )
    assert foreign_return_count(stored, answered) == count
