"""A jump is asked about, a split is kept once, and the series adjusted for it is continuous."""

from datetime import UTC, date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stockml.prices.bars import Bars, Split, days_of
from tests.stockml.prices.stored import NOW, append, record_listed
from tests.support.recordings import recorded


def log_moves(bars: Bars) -> np.ndarray:
    return np.abs(np.diff(np.log(bars["close"].to_numpy())))


@pytest.mark.parametrize(
    ("symbol", "effective"),
    [("AAPL", (date(2000, 6, 21), date(2005, 2, 28))), ("MSFT", (date(2003, 2, 18),))],
)
def test_a_split_is_asked_for_once_and_the_series_is_continuous(store, symbol, effective):
    bars = recorded(symbol)
    append(store, bars, ticker=symbol)
    assert store.unexplained_jumps(symbol) == effective
    answer = [Split(day, 2.0) for day in effective]
    # years apart, so that one in a later answer corrects no earlier one
    for later, split in enumerate(answer):
        now = NOW + timedelta(days=later)
        store.record_splits(
            symbol, [split], recorded_at=now, source="SPLITS", asked=[split.effective]
        )
    assert store.unexplained_jumps(symbol) == ()
    assert store.splits(symbol) == tuple(answer)
    adjusted = store.adjusted(symbol)
    at = np.searchsorted(days_of(bars), np.array(effective, dtype="datetime64[D]"))
    assert log_moves(adjusted)[at - 1].max() < 0.1
    assert store.read(symbol).equals(bars)


@pytest.mark.parametrize(
    ("late", "hours"), [((Split(date(2003, 2, 18), 2.0),), 23), ((), 23), ((), 25)]
)
def test_a_jump_is_asked_about_every_night_until_a_split_would_have_been_record_listed(
    store, late, hours
):
    """Even where nights begin after midnight, as bars are final then: on that day, they were asked
    every other one."""
    bars, jump = recorded("MSFT"), date(2003, 2, 18)
    at = bars.index.get_loc(pd.Timestamp(jump))

    def night(after: int, asks: bool, answer: tuple[Split, ...] = ()) -> None:
        """The n-th session after the jump: is the provider asked, and what does it say?"""
        day = bars.index[at + after]
        now = day.tz_localize("America/New_York").to_pydatetime() + timedelta(hours=hours)
        append(store, bars.iloc[: at + after + 1], now, ticker="MSFT")
        open_jumps = store.unexplained_jumps("MSFT")
        assert open_jumps == ((jump,) if asks else ())
        if asks:
            store.record_splits("MSFT", answer, recorded_at=now, source="SPLITS", asked=open_jumps)

    night(0, asks=True)
    for after in range(1, 6):
        night(after, asks=True)
    night(6, asks=True, answer=late)
    for after in (7, 8, 30):
        night(after, asks=False)
    assert store.splits("MSFT") == late


@pytest.mark.parametrize(("factor", "move"), [(2.0, 0.6), (0.25, 0.6), (1.5, 0.6)])
def test_a_split_on_a_wild_day_is_asked_about_and_the_move_alone_is_left(store, factor, move):
    """It was taken for a crash, and every earlier price stayed at a multiple for good."""
    bars, jump = recorded("MSFT"), date(2003, 2, 18)
    before, wild = (
        bars.loc[:"2003-02-14"],
        bars.loc["2003-02-18":] * [*[2 / factor * move] * 4, 1.0],
    )
    wild.iloc[0] *= [1.0, 1.2, 0.8, 1.0, 8.0]
    append(store, pd.concat([before, wild]), ticker="MSFT")
    assert store.unexplained_jumps("MSFT") == (jump,)
    record_listed(store, [Split(jump, factor)], asked=[jump])
    assert store.unexplained_jumps("MSFT") == ()
    moved = store.adjusted("MSFT")["close"].loc["2003-02-14":].iloc[:2].to_numpy()
    assert moved[1] / moved[0] == pytest.approx(move, rel=0.05)


def test_a_far_fall_is_doubted_until_its_split_that_was_listed_late_is_asked_about_again(store):
    """On the last night before, earlier prices and a volatility of a fall by 95 % would be
    published."""
    bars, jump = recorded("MSFT"), date(2003, 2, 18)
    at = bars.index.get_loc(pd.Timestamp(jump))
    # with the real split, of two for one: twenty for one
    after_it = bars.iloc[at:] * [
        0.1,
        0.1,
        0.1,
        0.1,
        10.0,
    ]
    bars = pd.concat([bars.iloc[:at], after_it])
    for after in range(8):
        now = bars.index[at + after].tz_localize("America/New_York").to_pydatetime() + timedelta(
            hours=23
        )
        append(store, bars.iloc[: at + after + 1], now, ticker="MSFT")
        if asked := store.unexplained_jumps("MSFT"):
            listed = [Split(jump, 20.0)] if after == 6 else []
            store.record_splits("MSFT", listed, recorded_at=now, source="SPLITS", asked=asked)
        assert log_moves(store.adjusted("MSFT"))[at - 10 :].max() < 0.2, (
            f"{after} sessions after the split"
        )
    assert store.splits("MSFT") == (Split(jump, 20.0),)


def test_an_answer_on_the_evening_of_the_last_session_for_listing_a_split_is_not_final(store):
    """22:50 in New York is the next day in UTC."""
    bars, jump, listed_by = (
        recorded("MSFT"),
        date(2003, 2, 18),
        pd.Timestamp("2003-02-25", tz="America/New_York"),
    )
    evening = (listed_by + pd.Timedelta("22h50min")).to_pydatetime().astimezone(UTC)
    append(store, bars.loc[:"2003-02-25"], evening, ticker="MSFT")
    assert store.unexplained_jumps("MSFT") == (jump,)
    kept = []
    for now in (evening, evening + timedelta(hours=1)):
        store.record_splits("MSFT", [], recorded_at=now, source="SPLITS", asked=[jump])
        kept.append(Path(store.root, "splits", "MSFT.parquet").read_bytes())
    assert kept[0] == kept[1], "two equal answers of one day"
    assert store.unexplained_jumps("MSFT") == ()
    append(store, bars.loc[:"2003-02-26"], evening + timedelta(days=1), ticker="MSFT")
    assert store.unexplained_jumps("MSFT") == (jump,)


@pytest.mark.parametrize(
    ("last", "next_bar"), [("2002-11-29", date(2003, 6, 2)), ("2003-02-07", date(2003, 2, 21))]
)
def test_a_split_within_a_hole_shows_no_jump_and_is_asked_for_at_the_holes_end(
    store, last, next_bar
):
    bars, split = recorded("MSFT"), Split(date(2003, 2, 18), 2.0)
    append(store, pd.concat([bars.loc[:last], bars.loc[str(next_bar) :]]), ticker="MSFT")
    assert store.unexplained_jumps("MSFT") == (next_bar,)
    record_listed(store, [split], asked=[next_bar])
    assert store.unexplained_jumps("MSFT") == ()
    assert store.adjusted("MSFT")["close"].loc[last] == bars["close"].loc[last] / 2


def test_a_holes_end_without_a_split_is_asked_about_twice_and_not_every_night(store):
    """A share that is seldom traded has many, and most have none."""
    bars = recorded("IBM")
    bars = pd.concat([bars.iloc[-100:-50], bars.iloc[-40:]])
    asked_after = []
    for after in range(12):
        now = bars.index[50 + after].tz_localize("America/New_York").to_pydatetime() + timedelta(
            hours=23
        )
        append(store, bars.iloc[: 51 + after], now)
        if asked := store.unexplained_jumps("IBM"):
            asked_after.append(after)
            store.record_splits("IBM", [], recorded_at=now, source="SPLITS", asked=asked)
    assert asked_after == [0, 6]


def test_splits_are_kept_once_and_corrected_by_a_newer_record(store):
    split, corrected = Split(date(2003, 2, 18), 2.0), Split(date(2003, 2, 18), 3.0)
    kept = []
    for day, answer in enumerate((split, split, corrected)):
        record_listed(store, [answer], days=day)
        kept.append(Path(store.root, "splits", "MSFT.parquet").read_bytes())
    assert kept[0] == kept[1] != kept[2]
    assert store.splits("MSFT") == (corrected,)
    assert store.splits("MSFT", as_of=NOW) == (split,)


def test_a_split_recorded_after_the_clock_was_set_back_is_known_right_after_the_bars_before_it(
    store,
):
    append(store, recorded("MSFT").iloc[:10], ticker="MSFT")
    split = Split(date(2003, 2, 18), 2.0)
    store.record_splits("MSFT", [split], recorded_at=NOW - timedelta(days=1), source="SPLITS")
    assert store.splits("MSFT", as_of=NOW) == ()
    assert store.splits("MSFT", as_of=NOW + timedelta(microseconds=1)) == (split,)


@pytest.mark.parametrize("listed_first", [date(2003, 2, 14), date(2003, 2, 19), date(2003, 2, 25)])
def test_a_split_whose_day_the_provider_corrects_is_applied_once(store, listed_first):
    """If both were applied, all earlier prices would be a quarter."""
    bars, jump = recorded("MSFT"), date(2003, 2, 18)
    append(store, bars, ticker="MSFT")
    for days, day in ((0, listed_first), (7, jump)):
        record_listed(store, [Split(day, 2.0)], days=days, asked=[jump])
    assert store.splits("MSFT") == (Split(jump, 2.0),)
    assert store.splits("MSFT", as_of=NOW) == (Split(listed_first, 2.0),)
    assert store.adjusted("MSFT")["close"].iloc[0] == bars["close"].iloc[0] / 2
    both = [Split(jump, 2.0), Split(listed_first, 3.0)]
    record_listed(store, both, days=8)
    assert set(store.splits("MSFT")) == set(both), "as long as the provider lists both"


@pytest.mark.parametrize(
    "listed", [(date(2003, 2, 18),), (date(2003, 2, 14), date(2003, 2, 18)), ()]
)
def test_two_splits_within_days_that_came_in_two_answers_are_asked_about_once_more(store, listed):
    """A store that an earlier version wrote kept a split on its corrected day and on the first one
    too."""
    bars, first, jump = (
        recorded("MSFT"),
        Split(date(2003, 2, 14), 2.0),
        Split(date(2003, 2, 18), 2.0),
    )
    append(store, bars, ticker="MSFT")
    record_listed(store, [first], asked=[jump.effective])
    record_listed(store, [first, jump], days=7)
    both = (first.effective, jump.effective)
    assert store.unexplained_jumps("MSFT") == both
    answer = [Split(day, 2.0) for day in listed]
    record_listed(store, answer, days=8, asked=both)
    assert store.unexplained_jumps("MSFT") == ()
    kept = listed or both  # an answer that lists neither corrects neither
    assert store.splits("MSFT") == tuple(Split(day, 2.0) for day in kept)
    assert store.splits("MSFT", as_of=NOW + timedelta(days=7)) == (first, jump)


def test_a_split_near_a_day_that_was_answered_to_have_none_is_not_asked_about_again(store):
    append(store, recorded("MSFT"), ticker="MSFT")
    record_listed(store, [], asked=[date(2003, 2, 14)])
    record_listed(store, [Split(date(2003, 2, 18), 2.0)], days=1)
    assert store.unexplained_jumps("MSFT") == ()


def test_three_splits_within_days_of_each_other_are_asked_about_once_more_and_not_every_night(
    store,
):
    append(store, recorded("MSFT"), ticker="MSFT")
    listed, asked = [Split(date(2003, 2, day), 2.0) for day in (10, 18, 27)], []
    record_listed(store, listed[:2])
    for night in range(1, 6):
        asked.append(store.unexplained_jumps("MSFT"))
        now = NOW + timedelta(days=night)
        store.record_splits("MSFT", listed, recorded_at=now, source="SPLITS", asked=asked[-1])
    assert asked == [(), tuple(split.effective for split in listed), (), (), ()]


def test_an_old_view_uses_the_splits_known_by_then(store):
    append(store, recorded("MSFT"), ticker="MSFT")
    later = NOW + timedelta(days=1)
    store.record_splits("MSFT", [Split(date(2003, 2, 18), 2.0)], recorded_at=later, source="SPLITS")
    assert store.adjusted("MSFT", as_of=NOW).equals(recorded("MSFT"))
    assert store.adjusted("MSFT", as_of=later).equals(store.adjusted("MSFT"))
    until = date(2003, 2, 14)
    assert store.adjusted("MSFT", until=until).equals(recorded("MSFT").loc[: pd.Timestamp(until)])
