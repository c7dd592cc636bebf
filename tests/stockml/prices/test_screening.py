"""Which bars are set aside: misprints, not crashes; and what speaks against a whole series."""

from datetime import date

import pandas as pd
import pytest

from stockml.errors import InvalidSession, NoBars
from stockml.nights.dataset import data_notes
from stockml.prices.bars import days_of
from stockml.prices.csv_import import import_file, read_folder
from stockml.prices.screening import SESSIONS_TO_SETTLE, doubtful, suspicions, with_unknown_volumes
from stockml.prices.store import BarStore
from tests.stockml.prices.stored import NOW, append, judge
from tests.support.recordings import recorded

IBM = recorded("IBM").iloc[-200:]
LONG = recorded("IBM").iloc[-1_000:]
MIDDLE, LAST = 100, 199
ALL = ("open", "high", "low", "close")


def altered(rows, price=1.0, **factors):
    """IBM's newest 200 sessions, with all prices of these rows times `price`, and single columns
    times a factor of their own."""
    bars = IBM.copy()
    for name, factor in (dict.fromkeys(ALL, price) | factors).items():
        bars.iloc[list(rows), bars.columns.get_loc(name)] *= factor
    return bars


@pytest.mark.parametrize("row", [1, MIDDLE, LAST])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"price": 0.01}, "times the close before"),
        ({"price": 20.0}, "times the close before"),
        ({"price": 0.2}, "times the close before"),
        ({"high": 10.0}, "times the close before"),
        ({"low": 0.1}, "times the close before"),
        ({"high": 2.5}, "within the day, on usual volume"),
        ({"low": 0.5}, "within the day, on usual volume"),
    ],
)
def test_a_misprint_is_set_aside_whether_or_not_the_next_session_is_known(row, fault, reason):
    (found,) = doubtful(altered([row], **fault))
    assert found.session == IBM.index[row].date()
    assert reason in found.reason


def test_the_volume_of_a_price_that_moved_without_one_is_unknown(home):
    """A feed that stopped reporting volume cost eleven nights."""
    store = BarStore.of(home)
    append(store, altered([*range(150, 180), 190, *range(195, 200)], volume=0.0))
    view = store.view("IBM")
    assert not view.set_aside
    assert view.bars["volume"].isna().sum() == 36
    (said,) = data_notes("IBM", view, store.sessions("IBM"))
    assert said == f"no volume from {IBM.index[195].date()} on: taken as unknown"


def test_a_share_that_nobody_traded_has_no_volume():
    bars = altered([LAST], volume=0.0)
    bars.iloc[LAST, :4] = bars["close"].iloc[LAST - 1]
    assert with_unknown_volumes(bars)["volume"].iloc[-1] == 0


def test_the_usual_volume_is_that_of_the_sessions_just_before():
    bars = altered([LAST], high=2.5)
    bars.iloc[:-30, bars.columns.get_loc("volume")] /= 100
    assert [found.session for found in doubtful(bars)] == [IBM.index[LAST].date()]


@pytest.mark.parametrize("factor", [0.55, 1.7])
def test_a_price_that_jumps_and_returns_is_set_aside_once_it_is_back(factor):
    bars = altered([MIDDLE], factor)
    (found,) = doubtful(bars)
    assert found.session == IBM.index[MIDDLE].date()
    assert "the session after, on usual volume" in found.reason
    assert doubtful(bars.iloc[: MIDDLE + 1]) == ()


def test_a_bar_that_resembles_only_the_misprint_before_it_is_set_aside_too():
    bars = altered([MIDDLE, MIDDLE + 1], 3.0)
    bars.iloc[MIDDLE, bars.columns.get_loc("high")] *= 2.5
    assert [bar.session for bar in doubtful(bars)] == days_of(bars)[[MIDDLE, MIDDLE + 1]].tolist()


@pytest.mark.parametrize("factor", [10.0, 1000.0, 20.0, 0.2])
def test_a_far_level_is_doubted_while_a_split_may_still_be_listed_and_then_believed(factor):
    settled = MIDDLE + SESSIONS_TO_SETTLE
    days = IBM.index[MIDDLE:settled].date.tolist()
    for_good = altered(range(MIDDLE, 200), factor)
    for doubted in (altered(range(MIDDLE, settled), factor), for_good.iloc[:settled]):
        assert [bar.session for bar in doubtful(doubted)] == days
    assert doubtful(for_good) == ()


def test_a_heavily_traded_or_lasting_move_is_believed():
    assert doubtful(altered([MIDDLE], 0.55, volume=5.0)) == ()
    assert doubtful(altered(range(MIDDLE, 200), 0.4)) == ()
    rises_overnight = altered(range(MIDDLE + 1, 200), 1.9)
    rises_overnight.iloc[MIDDLE, 1] *= 1.9  # the evening's high is where the next session opens
    assert doubtful(rises_overnight) == ()


@pytest.mark.parametrize(
    ("sold", "until", "believed"), [(60.0, 200, True), (60.0, 103, True), (10.0, 103, False)]
)
def test_a_crash_of_nine_tenths_is_believed_and_a_split_is_not(sold, until, believed):
    """A split leaves the dollars traded as usual."""
    bars = altered(range(MIDDLE, 200), 0.1)
    bars.iloc[MIDDLE, bars.columns.get_loc("volume")] *= sold
    assert (doubtful(bars.iloc[:until]) == ()) == believed


def test_a_crash_after_a_misprint_is_a_fall_from_the_close_that_is_believed():
    bars = altered([MIDDLE], 0.01)
    bars.iloc[MIDDLE + 1 :, :4] *= 0.1
    bars.iloc[MIDDLE + 1, 4] *= 60.0
    for until in (MIDDLE + 2, MIDDLE + 3, 200):
        assert [bar.session for bar in doubtful(bars.iloc[:until])] == [IBM.index[MIDDLE].date()]


@pytest.mark.parametrize("symbol", ["AAPL", "FB", "GOOG", "IBM", "MSFT"])
def test_no_recorded_bar_is_set_aside(symbol):
    assert doubtful(recorded(symbol)) == ()


@pytest.mark.parametrize("fault", [{"price": 10.0}, {"high": 0.5}, {"close": 0.0}])
def test_a_bar_set_aside_is_kept_and_named_until_a_restatement_corrects_it(store, fault):
    bars, day = altered([MIDDLE], **fault), IBM.index[MIDDLE].date()
    append(store, bars)
    assert store.read("IBM").equals(bars)
    view = store.view("IBM")
    assert [bar.session for bar in view.set_aside] == [day]
    assert view.bars.equals(IBM.drop(IBM.index[MIDDLE]))
    append(store, IBM, days=1)
    assert store.view("IBM").set_aside == ()
    assert store.adjusted("IBM").equals(IBM)
    assert store.adjusted("IBM", as_of=NOW).equals(view.bars)
    assert len(store.first_known("IBM")) == 200


def test_an_odd_day_that_is_no_session_is_kept_and_named_and_the_answer_not_refused(store):
    """Like 1985-09-27, when a hurricane kept New York closed and files have a bar nevertheless."""
    saturday = IBM.iloc[[MIDDLE]].set_axis(pd.DatetimeIndex(["2012-11-03"], name="session"))
    answer = pd.concat([IBM, saturday]).sort_index()
    append(store, answer)
    assert len(store.read("IBM")) == 201
    view = store.view("IBM")
    assert view.bars.equals(IBM)
    assert "2012-11-03: expected a session of the calendar XNYS" in str(view.set_aside[0])


def test_a_broken_bar_cannot_be_accepted_nor_an_absent_one_judged(store):
    append(store, altered([MIDDLE], high=0.5))
    day = IBM.index[MIDDLE].date()
    with pytest.raises(InvalidSession, match=r"^expected a sound bar, found '2.*low ≤ open"):
        judge(store, day, accepted=True)
    judge(store, day)
    assert [bar.broken for bar in store.view("IBM").set_aside] == [True]
    with pytest.raises(InvalidSession, match=r"^expected a session with a bar, found '2013-03-02'"):
        judge(store, date(2013, 3, 2))
    with pytest.raises(NoBars, match="no bars and no history of IBN"):
        store.judge("IBN", day, accepted=False, recorded_at=NOW, source="by hand")


def test_a_file_with_a_misprint_is_imported_with_that_bar_set_aside_and_named(store, tmp_path):
    """Like usb.us.txt of the same collection, which has a high of 0.9217 instead of 9.217."""
    altered([MIDDLE], high=0.1).to_csv(path := tmp_path / "IBM.csv", index_label="Date")
    report = import_file(store, path, recorded_at=NOW)
    assert report.sessions == 200
    assert [bar.session for bar in report.set_aside] == [IBM.index[MIDDLE].date()]
    assert store.view("IBM").set_aside == report.set_aside


def times(factor, *stops):
    bars = LONG.copy()
    for stop in stops:
        bars.loc[bars.index[:stop], [*ALL]] *= factor
        bars.loc[bars.index[:stop], "volume"] /= factor
    return bars


def still(share):
    bars = LONG.copy()
    bars.iloc[round(len(bars) * (1 - share)) - 1 :, :4] = 200.0
    return bars


@pytest.mark.parametrize(
    ("bars", "aside", "said"),
    [
        (LONG, 2, ""),
        (LONG, 3, "3 of 1,003 bars are set aside"),
        (LONG.tail(50), 2, ""),
        (still(0.2), 0, ""),
        (still(0.3), 0, "the close is that of the session before on 302 of 1,000 sessions"),
        (
            times(2, 500),
            0,
            f"the open moved as at a split that was not applied on {LONG.index[500].date()}",
        ),
        (times(3, 200, 400, 600, 800), 3, " and 1 more"),
        (LONG.iloc[:1], 0, ""),
    ],
)
def test_bars_set_aside_splits_not_applied_and_a_price_that_stands_still_are_said(
    bars, aside, said
):
    found = suspicions(bars, aside)
    assert (said in found) if said else found == ""


def test_of_a_folder_each_ticker_has_its_own(tmp_path):
    halved = times(2, 500)
    spiky = LONG.copy()
    spiky.iloc[50::97, :4] *= 3.0
    for name, bars in {"AAA": LONG, "BBB": halved, "CCC": spiky}.items():
        bars.to_csv(tmp_path / f"{name}.csv", index_label="Date")
    *_, doubts = read_folder(tmp_path)
    assert doubts["AAA"] == ""
    assert doubts["BBB"].endswith(str(LONG.index[500].date()))
    assert doubts["CCC"] == "10 of 1,000 bars are set aside"
