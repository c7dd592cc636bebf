"""What may be stored, and what looks like a split."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from stockml.errors import BadPayload
from stockml.nights.tables import WHY
from stockml.prices.bars import COLUMNS, Bars, broken, checked, jumps, make_bars, without_set_aside
from stockml.prices.calendar import sessions_for
from stockml.redaction import brief
from stockml.tickers import without_ticker
from tests.support import strategies
from tests.support.recordings import recorded

NEW_YORK = sessions_for("IBM")
DAYS = NEW_YORK.between(date(2024, 1, 2), date(2024, 12, 31))


def flat_bars(n: int = 10, price: float = 100.0, first: int = 0, volume: float = 1e6) -> Bars:
    """n neighbouring sessions from the `first` of 2024 on, each at `price`, 1 % wide."""
    prices = np.full(n, price)
    columns = {"open": prices, "high": prices * 1.005, "low": prices * 0.995, "close": prices}
    return make_bars(DAYS[first : first + n], {**columns, "volume": np.full(n, volume)})


def with_value(bars: Bars, row: int, column: str, value: float) -> Bars:
    changed = bars.copy()
    changed.iloc[row, list(COLUMNS).index(column)] = value
    return changed


@pytest.mark.parametrize(
    ("row", "column", "value", "rule"),
    [
        (3, "low", 100.2, "low ≤ open and close ≤ high"),
        (3, "open", 99.0, "low ≤ open and close ≤ high"),
        (3, "open", 101.0, "low ≤ open and close ≤ high"),
        (3, "close", 99.0, "low ≤ open and close ≤ high"),
        (3, "close", 101.0, "low ≤ open and close ≤ high"),
        (3, "open", 0.0, "finite prices above 0"),
        (3, "high", np.inf, "finite prices above 0"),
        (3, "low", np.nan, "finite prices above 0"),
        (3, "volume", -1.0, "volume of at least 0"),
        (3, "volume", np.inf, "volume of at least 0"),
    ],
)
def test_a_broken_bar_is_named_by_session_and_rule_and_many_are_refused(row, column, value, rule):
    bars = with_value(flat_bars(), row, column, value)
    pd.testing.assert_frame_equal(checked("IBM", bars, NEW_YORK), bars, check_freq=False)
    (found,) = broken(bars, NEW_YORK)
    assert str(found).startswith(f"{DAYS[row]}: expected {rule}, found open ")
    assert len(without_set_aside(bars, [found])) == len(bars) - 1
    for refused in (bars.iloc[row : row + 1], with_value(bars.iloc[:10], 8, column, value)):
        with pytest.raises(BadPayload, match=f"session {DAYS[row]}: expected {rule}"):
            checked("IBM", refused, NEW_YORK)


@pytest.mark.parametrize(
    ("days", "named", "rule"),
    [
        ([DAYS[0], DAYS[0]], DAYS[0], "unique and ascending"),
        ([DAYS[1], DAYS[0], DAYS[2]], DAYS[0], "unique and ascending"),
        (
            [date(2024, 1, 1), DAYS[0], date(2024, 1, 6)],
            date(2024, 1, 1),
            "set `calendar:` in tickers.yaml",
        ),
    ],
)
def test_days_must_be_sessions_in_order(days, named, rule):
    bars = make_bars(days, {name: np.full(len(days), 5.0) for name in COLUMNS})
    with pytest.raises(BadPayload, match=f"{named}.*{rule}") as refused:
        checked("IBM", bars, NEW_YORK)
    assert rule in brief(f"failed: BadPayload: {without_ticker('IBM', str(refused.value))}", WHY), (
        "in the morning's line too"
    )


def test_special_sessions_on_weekends_cost_their_own_bars_and_no_more():
    """Bombay trades on a few, and its calendar lacks them: within a hundred sessions there have
    been three."""
    bombay = sessions_for("RELIANCE.BSE")
    special = [date(2023, 11, 12), date(2024, 1, 20), date(2024, 3, 2)]
    days = bombay.between(date(2023, 10, 16), date(2024, 3, 5))

    def bars_with(others: list[date]) -> Bars:
        every = sorted({*days, *others})
        return make_bars(every, {name: np.full(len(every), 5.0) for name in COLUMNS})

    assert len(checked("RELIANCE.BSE", bars_with(special), bombay)) == len(days) + 3
    assert [bar.session for bar in broken(bars_with(special), bombay)] == special
    holidays = [date(2023, 11, 14), date(2024, 1, 26)]
    for others in (holidays, [days[0] + timedelta(6 + 7 * week) for week in range(9)]):
        with pytest.raises(
            BadPayload, match=f"expected sessions of XBOM, found {len(others)} .*{others[0]}"
        ):
            checked("RELIANCE.BSE", bars_with(others), bombay)


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
        ("AAPL", (date(2000, 6, 21), date(2005, 2, 28))),
        ("MSFT", (date(2003, 2, 18),)),
        ("IBM", ()),
        ("GOOG", ()),
        ("FB", ()),
    ],
)
def test_in_the_recording_exactly_the_real_splits_look_like_splits(symbol, found):
    assert jumps(recorded(symbol)) == found


@pytest.mark.parametrize("factor", [2, 3 / 2, 7, 100, 1 / 5, 0.04, 5 / 4])
@pytest.mark.parametrize("overnight", [0.985, 1.0, 1.015])
def test_common_splits_are_seen_through_an_overnight_move(factor, overnight):
    before, after = (
        flat_bars(30),
        flat_bars(10, 100.0 / factor * overnight, first=30, volume=1e6 * factor),
    )
    assert jumps(pd.concat([before, after])) == (DAYS[30],)


@pytest.mark.parametrize("fall", [0.5, 1 / 3, 0.75, 0.48])
@pytest.mark.parametrize("sign", ["volume", "range"])
def test_a_fall_on_a_wild_day_is_a_crash(fall, sign):
    # one wild day does not make the next one usual
    before = with_value(flat_bars(30), 25, "volume", 1e9)
    after = flat_bars(10, 100.0 * fall, first=30, volume=2e7 if sign == "volume" else 1e6)
    bars = pd.concat([before, after])
    crash = bars if sign == "volume" else with_value(bars, 30, "low", 80.0 * fall)
    assert jumps(crash) == ()


@pytest.mark.parametrize(
    ("factor", "overnight"), [(0.25, 1.0), (0.2, 0.9), (0.1, 0.8), (0.05, 1.3), (0.004, 1.0)]
)
def test_a_reverse_split_is_seen_however_wild_its_day(factor, overnight):
    before, after = (
        flat_bars(30),
        flat_bars(10, 100.0 / factor * overnight, first=30, volume=1e7 * factor),
    )
    bars = pd.concat([before, after])
    assert jumps(with_value(bars, 30, "low", 60.0 / factor)) == (DAYS[30],)


def test_later_sessions_do_not_change_whether_a_day_jumped():
    bars = recorded("AAPL")
    for end in (date(2000, 6, 21), date(2000, 6, 22), date(2000, 9, 29)):
        assert jumps(bars.loc[: str(end)]) == tuple(jump for jump in jumps(bars) if jump <= end)
