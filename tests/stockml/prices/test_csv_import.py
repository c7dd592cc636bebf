"""Imported history: which ticker a file is for, what is kept of it and refused, how it is joined."""

from contextlib import nullcontext
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from stockml.errors import InvalidFile, InvalidTicker
from stockml.prices.bars import days_of, jumps
from stockml.prices.csv_import import (
    files_in,
    import_file,
    preview_import,
    read_folder,
    read_history,
    ticker_of,
)
from tests.stockml.prices.stored import IBM, NOW, append
from tests.stockml.prices.test_csv_import_layouts import LAYOUTS, written
from tests.support.kaggle import kaggle_folder
from tests.support.strategies import NEW_YORK


@pytest.mark.parametrize(
    ("name", "ticker"),
    [
        ("ibm.us.txt", "IBM"),
        ("IBM (1).csv", "IBM"),
        ("brk-b.us.txt", "BRK-B"),
        ("BRK.B.csv", "BRK.B"),
        ("TSCO.LON.csv", "TSCO.LON"),
        ("tsco.uk.txt", "TSCO.LON"),
        ("600104.SS.csv", "600104.SHH"),
        ("us.txt", "US"),
    ],
)
def test_the_ticker_is_read_from_the_file_name(name, ticker):
    assert ticker_of(Path(name)) == ticker


@pytest.mark.parametrize("name", ["prices of last year.csv", ".csv"])
def test_a_file_that_is_not_named_for_a_ticker_must_be_given_one(tmp_path, name):
    path = written(tmp_path, LAYOUTS["Stooq, bulk"], name)
    with pytest.raises(InvalidTicker):
        read_history(path, NEW_YORK)
    assert read_history(path, NEW_YORK, "ibm").notes.ticker == "IBM"


def saved(folder, bars):
    bars.to_csv(path := folder / "IBM.csv", index_label="Date")
    return path


def test_an_imported_file_is_read_back_and_kept_once(store, tmp_path):
    path = saved(tmp_path, IBM.iloc[:2000])
    report = import_file(store, path, recorded_at=NOW)
    assert (report.ticker, report.recorded, report.sessions) == ("IBM", True, 2000)
    assert [report.first, report.last] == IBM.index[[0, 1999]].date.tolist()
    assert store.adjusted("IBM").equals(IBM.iloc[:2000])
    assert not import_file(store, path, recorded_at=NOW).recorded


def test_todays_unfinished_bar_in_a_file_is_not_imported(store, tmp_path):
    path = written(tmp_path, LAYOUTS["Stooq, single"])
    report = import_file(store, path, recorded_at=datetime(2026, 11, 20, 20, tzinfo=UTC))
    first, newest = date(2026, 11, 19), date(2026, 11, 20)
    assert (report.sessions, report.not_over, report.last) == (1, (newest,), first)
    with pytest.raises(InvalidFile, match="expected sessions that are over"):
        import_file(store, path, recorded_at=datetime(2026, 11, 18, 20, tzinfo=UTC))
    assert days_of(store.adjusted("IBM")).tolist() == [first]


def test_of_every_kaggle_file_all_is_understood_its_crashes_are_believed_and_no_day_looks_like_a_split(
    store,
):
    reports = []
    for path in files_in(kaggle_folder()):
        report, history = preview_import(store, path, now=NOW)
        # without volumes in all these files
        assert {bar.session for bar in report.set_aside} <= {date(2010, 4, 26)}
        assert jumps(history.bars) == ()
        reports.append(report)
    assert {report.ticker: report.sessions for report in reports} == {
        "AAL": 989, "GE": 14058, "HPQ": 12075, "IBM": 14059, "KO": 12075, "XOM": 12074,
    }  # fmt: skip
    assert all(report.last == date(2017, 11, 10) for report in reports)
    assert all(
        (report.empty, report.repaired, report.off_calendar) == (0, 0, ()) for report in reports
    )


@pytest.mark.parametrize("rows", [slice(None), slice(1000, 1100)])
def test_kaggles_ibm_is_joined_to_the_recorded_bars_despite_dividends(store, rows):
    bars = IBM.iloc[rows]
    append(store, bars)
    import_file(store, kaggle_folder() / "Stocks" / "ibm.us.txt", recorded_at=NOW)
    series = store.adjusted("IBM")
    assert days_of(series)[0] == np.datetime64("1962-01-02")
    assert series.iloc[-len(bars) :].equals(bars)
    seam = series["close"].iloc[-len(bars) - 3 : -len(bars) + 3 or None]
    assert np.abs(np.diff(np.log(seam))).max() < 0.05


def test_a_folder_gives_a_series_for_each_wanted_ticker_and_names_second_and_unreadable_files(
    tmp_path,
):
    (tmp_path / "other").mkdir()
    for name in ("other/ibm.us.txt", "MSFT.csv", "notes of mine.csv", "notes.md", "IBM.csv"):
        saved(tmp_path, IBM.iloc[-40:]).rename(tmp_path / name)
    series, refused, _ = read_folder(tmp_path)
    assert (set(series), len(series["IBM"])) == ({"IBM", "MSFT"}, 40)
    assert set(refused) == {"other/ibm.us.txt", "notes of mine.csv"}
    assert "expected one file of IBM, found another before it" in str(refused["other/ibm.us.txt"])
    wanted, refused, _ = read_folder(tmp_path, tickers=["MSFT"])
    assert (list(wanted), refused) == (["MSFT"], {})


@pytest.mark.parametrize("apart", [2, 21])
def test_a_file_whose_rows_are_more_than_a_session_apart_is_refused(tmp_path, apart):
    path = saved(tmp_path, IBM.iloc[: 60 * apart : apart])
    with pytest.raises(
        InvalidFile, match=f"expected daily bars, found one every {apart} sessions: is it a weekly"
    ):
        read_history(path, NEW_YORK)
    assert list(read_folder(tmp_path)[1]) == ["IBM.csv"]


def test_a_thinly_traded_share_is_read_and_its_missing_sessions_are_counted(tmp_path, store):
    """Days without a trade have no row; and a hole's own sessions may be few and far from their
    neighbours."""
    thin = IBM.iloc[np.flatnonzero(np.random.default_rng(1).random(1000) < 0.2)]
    report = import_file(store, saved(tmp_path, thin), recorded_at=NOW)
    within = IBM.loc[thin.index[0] : thin.index[-1]]
    assert (report.sessions, report.missing) == (len(thin), len(within) - len(thin))
    assert report.missing > 700
    few = IBM.iloc[[0, 500, 600]]
    assert read_history(saved(tmp_path, few), NEW_YORK).bars.index.equals(few.index)


def stepped(factor, *, at=100, gone=0, sold=1.0):
    """IBM's newest 300 sessions, multiplied by `factor` from `at` on, without the `gone` sessions
    before it."""
    bars = IBM.iloc[-300:].copy()
    bars.iloc[at:, :4] *= factor
    bars.iloc[at, 4] *= sold
    return bars.drop(bars.index[at - gone : at])


@pytest.mark.parametrize(("factor", "gone"), [(6, 0), (1e4, 20), (0.15, 20), (0.001, 0)])
def test_a_lasting_step_of_the_price_is_refused_with_both_sessions_and_the_ratio(
    tmp_path, factor, gone
):
    bars = stepped(factor, gone=gone)
    before, after = days_of(bars)[99 - gone : 101 - gone]
    ratio = bars["close"].iloc[100 - gone] / bars["close"].iloc[99 - gone]
    with pytest.raises(InvalidFile) as refusal:
        read_history(saved(tmp_path, bars), NEW_YORK)
    assert f"on {after}, {ratio:.4g} times the " in str(refusal.value)
    assert f"of {before}" in str(refusal.value)


@pytest.mark.parametrize(
    ("factor", "sold", "wild", "believed"),
    [
        (0.12, 30.0, 1.3, True),  # as KERX fell on 2008-03-10, on 3.4 times the money
        # as a bankruptcy ends: for less money than usual, at prices that nobody agrees on
        (0.06, 8.0, 2.0, True),
        (10.0, 60.0, 2.5, True),
        # as FBP's splits are in the wrong place, 1.5 times the usual money
        (0.06, 25.0, 1.15, False),
        (0.06, 1.5, 3.0, False),
        (17.0, 0.4, 1.2, False),  # as CPF's: the money alone says nothing
    ],
)
def test_a_step_is_believed_if_far_more_was_traded_than_a_split_explains(
    tmp_path, factor, sold, wild, believed
):
    bars = stepped(factor, sold=sold)
    bars.iloc[100, 1] = wild * bars["low"].iloc[100]
    with nullcontext() if believed else pytest.raises(InvalidFile, match="of one scale"):
        assert len(read_history(saved(tmp_path, bars), NEW_YORK).bars) == 300
