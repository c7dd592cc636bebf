"""The store: what is added, restated, unchanged; views as of a time; splits, history and the adjusted series."""

import pickle
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from stockml.errors import BadPayload, InvalidTicker, NoBars, NoOverlap, UnevenOverlap
from stockml.prices.bars import Bars, Split, days_of, make_bars
from stockml.prices.store import BarStore
from stockml.storage.files import sha256_of
from stockml.storage.receipts import StoreReceipt
from tests.support.recordings import recorded

NOW = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
IBM = recorded("IBM")
LAST = date(2013, 3, 1)


@pytest.fixture
def store(tmp_path: Path) -> BarStore:
    return BarStore(str(tmp_path / "store"), tmp_path / "locks")


def append(store: BarStore, bars: Bars, recorded_at: datetime = NOW, ticker: str = "IBM") -> StoreReceipt:
    return store.append(ticker, bars, recorded_at=recorded_at, source="test", session=bars.index[-1].date())


def restated(bars: Bars, row: int, column: str, factor: float) -> Bars:
    changed = bars.copy()
    changed.iloc[row, changed.columns.get_loc(column)] *= factor
    return changed


def counts(receipt: StoreReceipt) -> tuple[int, int, int]:
    return receipt.added, receipt.restated, receipt.unchanged


def test_what_was_appended_is_read_back(store):
    receipt = append(store, IBM)
    assert counts(receipt) == (3270, 0, 0)
    assert store.read("IBM").equals(IBM)
    assert store.read("IBM").index.equals(IBM.index)
    assert store.last_session("IBM") == LAST
    assert store.view("IBM").holes(store.sessions("IBM")) == ()


def test_a_receipt_proves_what_stands_on_disk(store):
    receipt = append(store, IBM)
    assert receipt.path == store.path("IBM")
    assert receipt.sha256 == sha256_of(receipt.path)
    assert receipt.intact()
    append(store, restated(IBM, -1, "volume", 1.015), NOW + timedelta(days=1))
    assert not receipt.intact()


def test_appending_again_changes_no_byte(store):
    first = append(store, IBM)
    written = Path(first.path).stat()
    for later in (timedelta(0), timedelta(days=1), -timedelta(days=1)):
        again = append(store, IBM.iloc[-100:], NOW + later)
        assert (counts(again), again.sha256) == ((0, 0, 100), first.sha256)
    assert Path(first.path).stat().st_mtime_ns == written.st_mtime_ns
    assert Path(first.path).stat().st_ino == written.st_ino


def test_a_restated_bar_is_a_new_row_beside_the_old_one(store):
    append(store, IBM.iloc[:100])
    later = NOW + timedelta(days=1)
    receipt = append(store, restated(IBM.iloc[1:101], -2, "volume", 1.015), later)
    assert counts(receipt) == (1, 1, 98)
    since = [store.recorded_since("IBM", moment) for moment in (NOW, later, later + timedelta(seconds=1))]
    assert since == [(101, 1), (1, 1), (0, 0)]
    assert store.recorded_since("KO", NOW) == (0, 0)
    assert store.read("IBM")["volume"].iloc[99] == IBM["volume"].iloc[99] * 1.015
    assert store.read("IBM", as_of=NOW).equals(IBM.iloc[:100])
    assert len(pq.read_table(receipt.path)) == 102
    (row,) = store.restatements("IBM").to_dict("records")
    assert (row["session"].date(), row["column"], row["source"]) == (IBM.index[99].date(), "volume", "test")
    assert (row["before"], row["after"]) == (IBM["volume"].iloc[99], IBM["volume"].iloc[99] * 1.015)
    assert row["recorded_at"] == pd.Timestamp(later)


def test_an_old_payload_that_is_appended_once_more_undoes_no_restatement(store):
    append(store, IBM.iloc[:100])
    newer = append(store, restated(IBM.iloc[:100], 50, "close", 1.0001), NOW + timedelta(days=1))
    again = append(store, IBM.iloc[:100])
    assert (counts(again), again.sha256) == ((0, 0, 100), newer.sha256)


def test_what_was_first_recorded_stays_visible_in_the_units_of_today(store):
    bars = recorded("MSFT")
    append(store, bars.iloc[700:800], ticker="MSFT")
    for days, factor in ((1, 1.01), (2, 1.02)):
        append(store, restated(bars.iloc[700:800], 30, "high", factor), NOW + timedelta(days=days), "MSFT")
    store.record_splits("MSFT", [Split(date(2003, 2, 18), 2.0)], recorded_at=NOW, source="SPLITS")
    store.record_import("MSFT", scaled(bars.iloc[:720], 0.25), recorded_at=NOW, source="test")
    newest, first = store.adjusted("MSFT"), store.first_known("MSFT")
    assert first.index.equals(newest.index)
    assert (first.index[0], first["high"].iloc[730]) == (bars.index[0], bars["high"].iloc[730] / 2)
    changed = (first != newest).any(axis=1)
    assert changed[changed].index.tolist() == [bars.index[730]]
    assert newest["high"].iloc[730] == pytest.approx(first["high"].iloc[730] * 1.02)


def test_a_series_of_which_nothing_was_restated_is_its_first_record(store):
    store.record_import("IBM", IBM.iloc[:2000], recorded_at=NOW, source="test")
    assert store.first_known("IBM").equals(store.adjusted("IBM"))
    append(store, IBM.iloc[1990:])
    assert store.first_known("IBM").equals(store.adjusted("IBM"))


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


def test_an_unfinished_bar_is_left_out(store):
    noon_of_the_last_day = datetime(2013, 3, 1, 17, 0, tzinfo=UTC)
    assert counts(append(store, IBM.iloc[-100:], noon_of_the_last_day)) == (99, 0, 0)
    assert store.last_session("IBM") == date(2013, 2, 28)


def test_an_answer_of_broken_bars_stores_nothing(store):
    broken = IBM.iloc[:100].copy()
    broken.iloc[50:60, broken.columns.get_loc("low")] *= 1.5
    with pytest.raises(BadPayload, match="low ≤ open"):
        append(store, broken)
    assert not Path(store.root).exists()


def test_a_session_that_the_feed_lacks_is_reported(store):
    append(store, IBM.drop(IBM.index[[10, 20]]))
    holes = store.view("IBM").holes(store.sessions("IBM"))
    assert holes == (IBM.index[10].date(), IBM.index[20].date())


def test_reading_what_is_not_there_says_so_and_creates_nothing(store):
    for read in (store.read, store.adjusted, store.first_known):
        with pytest.raises(NoBars, match="stockml import"):
            read("IBM")
    assert store.tickers() == ()
    assert store.splits("IBM") == ()
    assert store.last_session("IBM") is None
    assert store.unexplained_jumps("IBM") == ()
    assert store.restatements("IBM").empty
    assert not Path(store.root).exists()
    append(store, IBM)
    with pytest.raises(NoBars, match="recorded by"):
        store.read("IBM", as_of=NOW - timedelta(days=1))


@pytest.mark.parametrize("ticker", ["../IBM", "IBM/../X", "", "a b", "NUL"])
def test_a_ticker_that_is_no_ticker_touches_no_path(store, ticker):
    with pytest.raises(InvalidTicker):
        append(store, IBM, ticker=ticker)
    with pytest.raises(InvalidTicker):
        store.read(ticker)


def test_other_programs_read_the_files(store):
    receipt = append(store, IBM)
    append(store, recorded("MSFT"), ticker="MSFT")
    store.record_splits("MSFT", [Split(date(2003, 2, 18), 2.0)], recorded_at=NOW, source="test")
    store.record_import("IBM", IBM.iloc[:200], recorded_at=NOW, source="test")
    everything = f"{store.root}/*.parquet"
    assert duckdb.sql(f"select count(*), sum(close) from '{everything}'").fetchall() == [
        (6540, pytest.approx(IBM["close"].sum() + recorded("MSFT")["close"].sum()))
    ]
    newest = "select distinct on (session) session, close from '{}' order by session, recorded_at desc"
    rows = duckdb.sql(newest.format(receipt.path)).fetchall()
    assert rows[-1] == (LAST, IBM["close"].iloc[-1])
    frame = pl.read_parquet(receipt.path)
    assert frame["close"].to_list() == IBM["close"].to_list()
    assert str(frame.schema["recorded_at"]) == "Datetime(time_unit='us', time_zone='UTC')"
    assert pd.read_parquet(receipt.path)["source"].unique().tolist() == ["test"]


def test_a_file_says_whose_it_is_and_how_it_is_laid_out(store):
    metadata = pq.read_schema(append(store, IBM).path).metadata
    assert metadata[b"stockml.ticker"] == b"IBM"
    assert metadata[b"stockml.schema_version"] == b"1"


def test_tickers_are_those_with_bars_or_history(store):
    append(store, IBM, ticker="BRK.B")
    append(store, IBM, ticker="BRK-B")
    store.record_import("AAL", IBM.iloc[:200], recorded_at=NOW, source="test")
    store.record_splits("MSFT", [Split(date(2003, 2, 18), 2.0)], recorded_at=NOW, source="test")
    assert store.tickers() == ("AAL", "BRK-B", "BRK.B")


def test_another_calendar_can_be_named(tmp_path):
    london = BarStore(str(tmp_path / "store"), tmp_path / "locks", {"IBM": "XLON"})
    with pytest.raises(BadPayload, match="calendar XLON"):
        append(london, IBM)


def test_a_local_address_is_the_same_store_as_its_folder(store):
    append(store, IBM)
    by_address = BarStore(Path(store.root).as_uri(), store.locks)
    assert by_address.path("IBM") == store.path("IBM")
    assert by_address.tickers() == ("IBM",)
    assert append(by_address, IBM).unchanged == 3270


def test_a_store_travels_between_processes(store):
    append(store, IBM)
    assert pickle.loads(pickle.dumps(store)).read("IBM").equals(IBM)


def log_moves(bars: Bars) -> np.ndarray:
    return np.abs(np.diff(np.log(bars["close"].to_numpy())))


@pytest.mark.parametrize(
    ("symbol", "effective"), [("AAPL", (date(2000, 6, 21), date(2005, 2, 28))), ("MSFT", (date(2003, 2, 18),))]
)
def test_a_split_is_asked_for_once_and_the_series_is_continuous(store, symbol, effective):
    bars = recorded(symbol)
    append(store, bars, ticker=symbol)
    assert tuple(jump.session for jump in store.unexplained_jumps(symbol)) == effective
    answer = [Split(day, 2.0) for day in effective]
    assert store.record_splits(symbol, answer, recorded_at=NOW, source="SPLITS", asked=effective) == len(effective)
    assert store.unexplained_jumps(symbol) == ()
    assert store.splits(symbol) == tuple(answer)
    adjusted = store.adjusted(symbol)
    at = np.searchsorted(days_of(bars), np.array(effective, dtype="datetime64[D]"))
    assert log_moves(adjusted)[at - 1].max() < 0.1
    assert store.read(symbol).equals(bars)


def test_a_jump_that_turns_out_to_be_no_split_is_not_asked_for_again(store):
    append(store, recorded("MSFT"), ticker="MSFT")
    (jump,) = store.unexplained_jumps("MSFT")
    store.record_splits("MSFT", [], recorded_at=NOW, source="SPLITS", asked=[jump.session])
    assert store.unexplained_jumps("MSFT") == ()
    assert store.splits("MSFT") == ()
    assert store.adjusted("MSFT").equals(recorded("MSFT"))


def test_a_split_that_the_provider_lists_late_is_asked_for_a_last_time(store):
    bars, jump = recorded("MSFT"), date(2003, 2, 18)
    at = bars.index.get_loc(pd.Timestamp(jump))

    def night(after: int, asks: bool, answer: tuple[Split, ...] = ()) -> None:
        """The n-th session after the jump: is the provider asked, and what does it say?"""
        day = bars.index[at + after]
        now = day.tz_localize("America/New_York").to_pydatetime() + timedelta(hours=23)
        append(store, bars.iloc[: at + after + 1], now, ticker="MSFT")
        open_jumps = tuple(jump.session for jump in store.unexplained_jumps("MSFT"))
        assert open_jumps == ((jump,) if asks else ())
        if asks:
            store.record_splits("MSFT", answer, recorded_at=now, source="SPLITS", asked=open_jumps)

    night(0, asks=True)
    for after in range(1, 6):
        night(after, asks=False)
    night(6, asks=True, answer=(Split(jump, 2.0),))
    night(7, asks=False)
    assert store.splits("MSFT") == (Split(jump, 2.0),)


def test_a_jump_without_a_split_is_asked_for_twice_at_most(store):
    bars, jump = recorded("MSFT").loc[:"2003-03-31"], date(2003, 2, 18)
    append(store, bars.loc[:"2003-02-18"], datetime(2003, 2, 19, 4, tzinfo=UTC), ticker="MSFT")
    asked = 0
    for day in bars.loc["2003-02-18":].index:
        now = day.tz_localize("America/New_York").to_pydatetime() + timedelta(hours=23)
        append(store, bars.loc[:day], now, ticker="MSFT")
        if store.unexplained_jumps("MSFT"):
            asked += 1
            store.record_splits("MSFT", [], recorded_at=now, source="SPLITS", asked=[jump])
    assert asked == 2


def test_splits_are_kept_once_and_corrected_by_a_newer_record(store):
    split, corrected = Split(date(2003, 2, 18), 2.0), Split(date(2003, 2, 18), 3.0)
    assert store.record_splits("MSFT", [split], recorded_at=NOW, source="SPLITS") == 1
    assert store.record_splits("MSFT", [split], recorded_at=NOW + timedelta(days=1), source="SPLITS") == 0
    assert store.record_splits("MSFT", [corrected], recorded_at=NOW + timedelta(days=2), source="SPLITS") == 1
    assert store.splits("MSFT") == (corrected,)
    assert store.splits("MSFT", as_of=NOW) == (split,)


def test_the_adjustment_hash_changes_exactly_when_the_past_changes(store):
    bars = recorded("MSFT")
    hashes = []

    def now_differs() -> bool:
        hashes.append(store.view("MSFT").adjustment)
        return len(hashes) > 1 and hashes[-1] != hashes[-2]

    before_the_split = bars.loc[:"2003-02-14"]
    append(store, before_the_split.iloc[:-10], ticker="MSFT")
    assert not now_differs()
    append(store, before_the_split, ticker="MSFT")
    assert not now_differs()
    append(store, restated(before_the_split, -1, "volume", 1.1), NOW + timedelta(days=1), ticker="MSFT")
    assert not now_differs()
    store.record_splits("MSFT", [Split(date(2003, 2, 18), 2.0)], recorded_at=NOW, source="SPLITS")
    assert not now_differs()  # announced, not yet effective
    append(store, bars.loc[:"2003-02-18"], NOW + timedelta(days=2), ticker="MSFT")
    assert now_differs()
    append(store, bars, NOW + timedelta(days=3), ticker="MSFT")
    assert not now_differs()
    history = make_bars(days_of(bars)[:2000], {name: bars[name].to_numpy()[:2000] for name in bars.columns})
    store.record_import("IBM", history, recorded_at=NOW, source="test")
    assert not now_differs()


def test_what_was_known_of_splits_by_then_is_what_an_old_view_uses(store):
    append(store, recorded("MSFT"), ticker="MSFT")
    later = NOW + timedelta(days=1)
    store.record_splits("MSFT", [Split(date(2003, 2, 18), 2.0)], recorded_at=later, source="SPLITS")
    assert store.adjusted("MSFT", as_of=NOW).equals(recorded("MSFT"))
    assert store.adjusted("MSFT", as_of=later).equals(store.adjusted("MSFT"))
    until = date(2003, 2, 14)
    assert store.adjusted("MSFT", until=until).equals(recorded("MSFT").loc[: pd.Timestamp(until)])


def scaled(bars: Bars, factor: float) -> Bars:
    prices = {name: bars[name].to_numpy() * factor for name in ("open", "high", "low", "close")}
    return make_bars(days_of(bars), {**prices, "volume": bars["volume"].to_numpy()})


def test_history_is_usable_before_any_bar_was_fetched(store):
    store.record_import("IBM", IBM.iloc[:2000], recorded_at=NOW, source="test")
    assert store.adjusted("IBM").equals(IBM.iloc[:2000])
    assert store.last_session("IBM") is None
    with pytest.raises(NoBars):
        store.read("IBM")


def test_history_is_joined_by_its_overlap_with_the_fetched_bars(store):
    store.record_import("IBM", scaled(IBM.iloc[:3200], 0.5), recorded_at=NOW, source="test")
    append(store, IBM.iloc[-100:])
    series = store.adjusted("IBM")
    assert series.index.equals(IBM.index)
    np.testing.assert_allclose(series["close"], IBM["close"], rtol=1e-12)
    until = IBM.index[3100].date()
    np.testing.assert_allclose(store.adjusted("IBM", until=until)["close"], IBM["close"].iloc[:3101] * 0.5)


def test_history_reaches_back_through_splits_of_the_fetched_bars(store):
    bars = recorded("MSFT")
    append(store, bars.loc["2002-12-01":], ticker="MSFT")
    store.record_splits("MSFT", [Split(date(2003, 2, 18), 2.0)], recorded_at=NOW, source="SPLITS")
    store.record_import("MSFT", bars.loc[:"2003-01-31"], recorded_at=NOW, source="test")
    series = store.adjusted("MSFT")
    np.testing.assert_allclose(series["close"].loc[:"2003-02-14"], bars["close"].loc[:"2003-02-14"] / 2)
    np.testing.assert_allclose(series["close"].loc["2003-02-18":], bars["close"].loc["2003-02-18":])


def test_an_import_that_leaves_a_gap_is_refused_and_one_that_bridges_it_is_taken(store):
    append(store, IBM.iloc[-100:])
    old, bridge = scaled(IBM.iloc[:2000], 0.25), scaled(IBM.iloc[1900:3200], 0.5)
    with pytest.raises(NoOverlap) as refusal:
        store.record_import("IBM", old, recorded_at=NOW, source="old")
    assert refusal.value.missing == tuple(day.date() for day in IBM.index[2000:3171])
    assert store.adjusted("IBM").equals(IBM.iloc[-100:])
    store.record_import("IBM", bridge, recorded_at=NOW, source="bridge")
    store.record_import("IBM", old, recorded_at=NOW, source="old")
    np.testing.assert_allclose(store.adjusted("IBM")["close"], IBM["close"], rtol=1e-12)


def test_bars_that_do_not_reach_the_history_are_stored_and_the_gap_is_named(store):
    store.record_import("IBM", IBM.iloc[:2000], recorded_at=NOW, source="old")
    append(store, IBM.iloc[-100:])
    assert store.read("IBM").equals(IBM.iloc[-100:])
    with pytest.raises(NoOverlap, match=str(IBM.index[2000].date())):
        store.adjusted("IBM")


def test_an_import_that_does_not_fit_is_refused_and_leaves_nothing(store):
    append(store, IBM.iloc[-100:])
    with pytest.raises(UnevenOverlap):
        store.record_import("IBM", recorded("AAPL").iloc[:3220], recorded_at=NOW, source="wrong company")
    assert store.adjusted("IBM").equals(IBM.iloc[-100:])
    assert not (Path(store.root) / "history").exists()


def test_the_same_history_is_kept_once_with_where_it_came_from(store):
    assert store.record_import("IBM", IBM.iloc[:2000], recorded_at=NOW, source="ibm.us.txt sha256:0123")
    kept = sha256_of(f"{store.root}/history/IBM.parquet")
    assert not store.record_import("IBM", IBM.iloc[:2000], recorded_at=NOW + timedelta(days=1), source="again")
    assert sha256_of(f"{store.root}/history/IBM.parquet") == kept
    rows = pl.read_parquet(f"{store.root}/history/IBM.parquet")
    assert rows["source"].unique().to_list() == ["ibm.us.txt sha256:0123"]


def test_a_newer_import_of_the_same_days_takes_the_place_of_the_older(store):
    store.record_import("IBM", IBM.iloc[:2000], recorded_at=NOW, source="old")
    store.record_import("IBM", scaled(IBM.iloc[:2000], 0.5), recorded_at=NOW, source="new")
    assert store.adjusted("IBM").equals(scaled(IBM.iloc[:2000], 0.5))
    assert store.adjusted("IBM", as_of=NOW).equals(IBM.iloc[:2000])


def test_no_setting_and_no_secret_stands_in_a_file(store):
    table = pq.read_table(append(store, IBM).path)
    assert table.column_names == ["session", "open", "high", "low", "close", "volume", "recorded_at", "source"]
    known = {key.decode() for key in table.schema.metadata}
    assert sorted(known) == ["stockml.rows_crc32", "stockml.schema_version", "stockml.ticker"]
