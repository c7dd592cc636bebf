"""A jump is asked about, a split is kept once, and the series adjusted for it is continuous."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from stockml.prices.bars import Split
from tests.stockml.prices.stored import IBM, MSFT, NOW, SPLIT, SPLIT_DAY, append, record_listed
from tests.support.recordings import recorded

AT = MSFT.index.get_loc(pd.Timestamp(SPLIT_DAY))
FRIDAY = date(2003, 2, 14)  # the session before


def log_moves(bars):
    return np.abs(np.diff(np.log(bars["close"].to_numpy())))


def evening(day, hours=23):
    return datetime.combine(day, time(), ZoneInfo("America/New_York")) + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("symbol", "effective"),
    [("AAPL", (date(2000, 6, 21), date(2005, 2, 28))), ("MSFT", (SPLIT_DAY,))],
)
def test_a_split_is_asked_for_once_and_the_series_is_continuous(store, symbol, effective):
    bars, first = recorded(symbol), pd.Timestamp(effective[0])
    append(store, bars, ticker=symbol)
    assert store.unexplained_jumps(symbol) == effective
    answer = [Split(day, 2.0) for day in effective]
    # years apart, so that one in a later answer corrects no earlier one
    for days, split in enumerate(answer, start=1):
        record_listed(store, [split], days=days, asked=[split.effective], ticker=symbol)
    assert store.unexplained_jumps(symbol) == ()
    assert store.splits(symbol) == tuple(answer)
    moves = pd.Series(log_moves(store.adjusted(symbol)), bars.index[1:])
    assert moves[pd.DatetimeIndex(effective)].max() < 0.1
    assert store.read(symbol).equals(bars)
    assert store.adjusted(symbol, as_of=NOW).equals(bars)
    before = bars.index[bars.index.get_loc(first) - 1]
    assert store.adjusted(symbol, until=before.date()).equals(bars.loc[:before])


@pytest.mark.parametrize(("late", "hours"), [((SPLIT,), 23), ((), 23), ((), 25)])
def test_a_jump_is_asked_about_every_night_until_a_split_would_have_been_listed(store, late, hours):
    """Even where nights begin after midnight, as bars are final then: on that day, they were asked
    every other one."""
    for after in (*range(9), 30):
        now = evening(MSFT.index[AT + after], hours)
        append(store, MSFT.iloc[: AT + after + 1], now, ticker="MSFT")
        asked = store.unexplained_jumps("MSFT")
        assert asked == ((SPLIT_DAY,) if after <= 6 else ())
        if asked:
            listed = late if after == 6 else ()
            record_listed(store, listed, now, asked=asked)
    assert store.splits("MSFT") == late


@pytest.mark.parametrize(("factor", "move"), [(2.0, 0.6), (0.25, 0.6), (1.5, 0.6)])
def test_a_split_on_a_wild_day_is_asked_about_and_the_move_alone_is_left(store, factor, move):
    """It was taken for a crash, and every earlier price stayed at a multiple for good."""
    wild = MSFT.iloc[AT:] * [*[2 / factor * move] * 4, 1.0]
    wild.iloc[0] *= [1.0, 1.2, 0.8, 1.0, 8.0]
    append(store, pd.concat([MSFT.iloc[:AT], wild]), ticker="MSFT")
    assert store.unexplained_jumps("MSFT") == (SPLIT_DAY,)
    record_listed(store, [Split(SPLIT_DAY, factor)], asked=[SPLIT_DAY])
    assert store.unexplained_jumps("MSFT") == ()
    before, after = store.adjusted("MSFT")["close"].iloc[AT - 1 : AT + 1]
    assert after / before == pytest.approx(move, rel=0.05)


def test_a_far_fall_is_doubted_until_its_split_that_was_listed_late_is_asked_about_again(store):
    """On the last night before, earlier prices and a volatility of a fall by 95 % would be
    published."""
    # with the real split, of two for one: twenty for one
    bars = pd.concat([MSFT.iloc[:AT], MSFT.iloc[AT:] * [*[0.1] * 4, 10.0]])
    split = Split(SPLIT_DAY, 20.0)
    for after in range(8):
        now = evening(bars.index[AT + after])
        append(store, bars.iloc[: AT + after + 1], now, ticker="MSFT")
        if asked := store.unexplained_jumps("MSFT"):
            listed = [split] if after == 6 else []
            record_listed(store, listed, now, asked=asked)
        assert log_moves(store.adjusted("MSFT"))[AT - 10 :].max() < 0.2, f"{after} sessions after"
    assert store.splits("MSFT") == (split,)


def test_an_answer_on_the_evening_of_the_last_session_for_listing_a_split_is_not_final(store):
    """22:50 in New York is the next day in UTC."""
    listed_by = MSFT.index[AT + 5]
    late = evening(listed_by).astimezone(UTC) - timedelta(minutes=10)
    append(store, MSFT.loc[:listed_by], late, ticker="MSFT")
    assert store.unexplained_jumps("MSFT") == (SPLIT_DAY,)
    kept = []
    for now in (late, late + timedelta(hours=1)):
        record_listed(store, [], now, asked=[SPLIT_DAY])
        kept.append(Path(store.root, "splits", "MSFT.parquet").read_bytes())
    assert kept[0] == kept[1], "two equal answers of one day"
    assert store.unexplained_jumps("MSFT") == ()
    append(store, MSFT.iloc[: AT + 7], late, days=1, ticker="MSFT")
    assert store.unexplained_jumps("MSFT") == (SPLIT_DAY,)


@pytest.mark.parametrize(
    ("last", "next_bar"), [("2002-11-29", "2003-06-02"), ("2003-02-07", "2003-02-21")]
)
def test_a_split_within_a_hole_shows_no_jump_and_is_asked_for_at_the_holes_end(
    store, last, next_bar
):
    end = date.fromisoformat(next_bar)
    append(store, pd.concat([MSFT.loc[:last], MSFT.loc[next_bar:]]), ticker="MSFT")
    assert store.unexplained_jumps("MSFT") == (end,)
    record_listed(store, [SPLIT], asked=[end])
    assert store.unexplained_jumps("MSFT") == ()
    assert store.adjusted("MSFT")["close"].loc[last] == MSFT["close"].loc[last] / 2


def test_a_holes_end_without_a_split_is_asked_about_twice_and_not_every_night(store):
    """A share that is seldom traded has many, and most have none."""
    bars = pd.concat([IBM.iloc[-100:-50], IBM.iloc[-40:]])
    asked_after = []
    for after in range(12):
        now = evening(bars.index[50 + after])
        append(store, bars.iloc[: 51 + after], now)
        if asked := store.unexplained_jumps("IBM"):
            asked_after.append(after)
            record_listed(store, [], now, asked=asked, ticker="IBM")
    assert asked_after == [0, 6]


def test_splits_are_kept_once_and_corrected_by_a_newer_record(store):
    corrected = Split(SPLIT_DAY, 3.0)
    kept = []
    for day, answer in enumerate((SPLIT, SPLIT, corrected)):
        record_listed(store, [answer], days=day)
        kept.append(Path(store.root, "splits", "MSFT.parquet").read_bytes())
    assert kept[0] == kept[1] != kept[2]
    assert store.splits("MSFT") == (corrected,)
    assert store.splits("MSFT", as_of=NOW) == (SPLIT,)


@pytest.mark.parametrize("off", [-4, 1, 7])
def test_a_split_whose_day_the_provider_corrects_is_applied_once(store, off):
    """If both were applied, all earlier prices would be a quarter."""
    append(store, MSFT, ticker="MSFT")
    first = Split(SPLIT_DAY + timedelta(days=off), 2.0)
    for days, split in ((0, first), (7, SPLIT)):
        record_listed(store, [split], days=days, asked=[SPLIT_DAY])
    assert store.splits("MSFT") == (SPLIT,)
    assert store.splits("MSFT", as_of=NOW) == (first,)
    assert store.adjusted("MSFT")["close"].iloc[0] == MSFT["close"].iloc[0] / 2
    both = {SPLIT, Split(first.effective, 3.0)}
    record_listed(store, list(both), days=8)
    assert set(store.splits("MSFT")) == both, "as long as the provider lists both"


@pytest.mark.parametrize("listed", [(SPLIT_DAY,), (FRIDAY, SPLIT_DAY), ()])
def test_two_splits_within_days_that_came_in_two_answers_are_asked_about_once_more(store, listed):
    """A store that an earlier version wrote kept a split on its corrected day and on the first one
    too."""
    append(store, MSFT, ticker="MSFT")
    both = {day: Split(day, 2.0) for day in (FRIDAY, SPLIT_DAY)}
    record_listed(store, [both[FRIDAY]], asked=[SPLIT_DAY])
    record_listed(store, list(both.values()), days=7)
    assert store.unexplained_jumps("MSFT") == tuple(both)
    record_listed(store, [both[day] for day in listed], days=8, asked=list(both))
    assert store.unexplained_jumps("MSFT") == ()
    # an answer that lists neither corrects neither
    assert store.splits("MSFT") == tuple(both[day] for day in listed or both)
    assert store.splits("MSFT", as_of=NOW + timedelta(days=7)) == tuple(both.values())


def test_a_split_near_a_day_that_was_answered_to_have_none_is_not_asked_about_again(store):
    append(store, MSFT, ticker="MSFT")
    record_listed(store, [], asked=[FRIDAY])
    record_listed(store, [SPLIT], days=1)
    assert store.unexplained_jumps("MSFT") == ()
