"""What may be stored, and what looks like a split."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from stockml.errors import BadPayload
from stockml.prices.bars import COLUMNS, broken, checked, jumps, make_bars, without_set_aside
from stockml.prices.calendar import A_DAY, sessions_for
from tests.support import strategies
from tests.support.recordings import recorded
from tests.support.strategies import NEW_YORK

DAYS = NEW_YORK.between(date(2024, 1, 2), date(2024, 12, 31))


def flat_bars(n=10, price=100.0, first=0, volume=1e6):
    """n neighbouring sessions from the `first` of 2024 on, each at `price`, 1 % wide."""
    prices = np.full(n, price)
    columns = {"open": prices, "high": prices * 1.005, "low": prices * 0.995, "close": prices}
    return make_bars(DAYS[first : first + n], {**columns, "volume": np.full(n, volume)})


def step(price, volume=1e6):
    """Thirty sessions at 100, and then ten at `price`."""
    return pd.concat([flat_bars(30), flat_bars(10, price, first=30, volume=volume)])


def with_value(bars, row, column, value):
    changed = bars.copy()
    changed.iloc[row, list(COLUMNS).index(column)] = value
    return changed


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("open", 99.0, "low ≤ open and close ≤ high"),
        ("open", 101.0, "low ≤ open and close ≤ high"),
        ("close", 99.0, "low ≤ open and close ≤ high"),
        ("close", 101.0, "low ≤ open and close ≤ high"),
        ("open", 0.0, "finite prices above 0"),
        ("high", np.inf, "finite prices above 0"),
        ("low", np.nan, "finite prices above 0"),
        ("volume", -1.0, "volume of at least 0"),
        ("volume", np.inf, "volume of at least 0"),
    ],
)
def test_a_broken_bar_is_named_by_session_and_rule_and_many_are_refused(column, value, rule):
    bars = with_value(flat_bars(), 3, column, value)
    pd.testing.assert_frame_equal(checked("IBM", bars, NEW_YORK), bars, check_freq=False)
    (found,) = broken(bars, NEW_YORK)
    assert str(found).startswith(f"{DAYS[3]}: expected {rule}, found open ")
    assert len(without_set_aside(bars, [found])) == len(bars) - 1
    for refused in (bars.iloc[3:4], with_value(bars, 8, column, value)):
        with pytest.raises(BadPayload, match=f"session {DAYS[3]}: expected {rule}"):
            checked("IBM", refused, NEW_YORK)


@pytest.mark.parametrize(
    ("days", "named", "rule"),
    [
        (["2024-01-02", "2024-01-02"], "2024-01-02", "unique and ascending"),
        (["2024-01-03", "2024-01-02", "2024-01-04"], "2024-01-02", "unique and ascending"),
        (
            ["2024-01-01", "2024-01-02", "2024-01-06"],
            "2024-01-01",
            "set `calendar:` in tickers.yaml",
        ),
    ],
)
def test_days_must_be_sessions_in_order(days, named, rule):
    bars = make_bars(days, {name: np.full(len(days), 5.0) for name in COLUMNS})
    with pytest.raises(BadPayload, match=f"{named}.*{rule}"):
        checked("IBM", bars, NEW_YORK)


def test_special_sessions_on_weekends_cost_their_own_bars_and_no_more():
    """Bombay trades on a few, and its calendar lacks them: within a hundred sessions there have
    been three."""
    bombay, ticker = sessions_for("RELIANCE.BSE"), "RELIANCE.BSE"
    special = ["2023-11-12", "2024-01-20", "2024-03-02"]
    days = [*map(str, bombay.between(date(2023, 10, 16), date(2024, 3, 5)))]

    def bars_with(others):
        every = sorted({*days, *others})
        return make_bars(every, {name: np.full(len(every), 5.0) for name in COLUMNS})

    assert len(checked(ticker, bars_with(special), bombay)) == len(days) + 3
    assert [str(bar.session) for bar in broken(bars_with(special), bombay)] == special
    sundays = np.arange(np.datetime64("2023-10-22"), np.datetime64("2023-12-20"), 7 * A_DAY).astype(
        str
    )
    for others in (["2023-11-14", "2024-01-26"], sundays):
        fault = f"expected sessions of XBOM, found {len(others)} .*{others[0]}"
        with pytest.raises(BadPayload, match=fault):
            checked(ticker, bars_with(others), bombay)


def test_bars_without_a_column_or_without_a_session_are_refused():
    with pytest.raises(BadPayload, match="found no low"):
        checked("IBM", flat_bars().drop(columns="low"), NEW_YORK)
    with pytest.raises(BadPayload, match="found no session"):
        checked("IBM", flat_bars(0), NEW_YORK)


@given(strategies.series())
def test_bars_that_keep_the_rules_are_left_unchanged(bars):
    assert checked("IBM", bars[list(reversed(COLUMNS))], NEW_YORK).equals(bars)


@pytest.mark.parametrize(
    ("symbol", "found"),
    [
        ("AAPL", ["2000-06-21", "2005-02-28"]),
        ("MSFT", ["2003-02-18"]),
        *((symbol, []) for symbol in ("IBM", "GOOG", "FB")),
    ],
)
def test_in_the_recording_exactly_the_real_splits_look_like_splits(symbol, found):
    assert [*map(str, jumps(recorded(symbol)))] == found


@pytest.mark.parametrize("factor", [1.25, 1.5, 2.5, 7, 100, 0.6, 0.2, 0.04])
@pytest.mark.parametrize("overnight", [0.985, 1.0, 1.015])
def test_common_splits_are_seen_through_an_overnight_move(factor, overnight):
    assert jumps(step(100.0 / factor * overnight, 1e6 * factor)) == (DAYS[30],)


@pytest.mark.parametrize("fall", [0.5, 1 / 3, 0.75, 0.48])
@pytest.mark.parametrize("sign", ["volume", "range"])
def test_a_fall_on_a_wild_day_is_a_crash(fall, sign):
    # one wild day does not make the next one usual
    bars = with_value(step(100.0 * fall), 25, "volume", 1e9)
    wild = {"volume": ("volume", 2e7), "range": ("low", 80.0 * fall)}[sign]
    assert jumps(with_value(bars, 30, *wild)) == ()


@pytest.mark.parametrize(
    ("factor", "overnight"), [(0.25, 1.0), (0.2, 0.9), (0.1, 0.8), (0.05, 1.3), (0.004, 1.0)]
)
def test_a_reverse_split_is_seen_however_wild_its_day(factor, overnight):
    bars = step(100.0 / factor * overnight, 1e7 * factor)
    assert jumps(with_value(bars, 30, "low", 60.0 / factor)) == (DAYS[30],)


def test_later_sessions_do_not_change_whether_a_day_jumped():
    bars = recorded("AAPL")
    for end in ("2000-06-20", "2000-06-21", "2000-06-22", "2000-09-29"):
        assert len(jumps(bars.loc[:end])) == (end >= "2000-06-21")
