"""What may be stored, what looks like a split, and prices adjusted for splits and back."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from stockml.errors import BadPayload, NoOverlap, UnevenOverlap
from stockml.nights.reasons import WHY
from stockml.prices.bars import (
    COLUMNS,
    PRICES,
    Bars,
    broken,
    checked,
    days_of,
    jumps,
    make_bars,
    without,
)
from stockml.prices.believed import View
from stockml.prices.calendar import sessions_for
from stockml.prices.split_adjustment import back_adjusted, effective, joined
from stockml.redaction import brief
from stockml.tickers import unnamed
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
        (3, "high", 99.8, "low ≤ open and close ≤ high"),
        (3, "open", 99.0, "low ≤ open and close ≤ high"),
        (3, "open", 101.0, "low ≤ open and close ≤ high"),
        (3, "close", 99.0, "low ≤ open and close ≤ high"),
        (3, "close", 101.0, "low ≤ open and close ≤ high"),
        (3, "open", 0.0, "finite prices above 0"),
        (3, "close", -1.0, "finite prices above 0"),
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
    assert len(without(bars, [found])) == len(bars) - 1
    for refused in (bars.iloc[row : row + 1], with_value(bars.iloc[:10], 8, column, value)):
        with pytest.raises(BadPayload, match=f"session {DAYS[row]}: expected {rule}"):
            checked("IBM", refused, NEW_YORK)


@pytest.mark.parametrize(
    ("days", "named", "rule"),
    [
        ([DAYS[0], DAYS[0]], DAYS[0], "unique and ascending"),
        ([DAYS[1], DAYS[0]], DAYS[0], "unique and ascending"),
        ([date(2024, 1, 1), DAYS[0], date(2024, 1, 6)], date(2024, 1, 1), "set `calendar:` in tickers.yaml"),
    ],
)
def test_days_must_be_sessions_in_order(days, named, rule):
    bars = make_bars(days, {name: np.full(len(days), 5.0) for name in COLUMNS})
    with pytest.raises(BadPayload, match=f"{named}.*{rule}") as refused:
        checked("IBM", bars, NEW_YORK)
    assert rule in brief(f"failed: BadPayload: {unnamed('IBM', str(refused.value))}", WHY), "in the morning's line too"


def test_special_sessions_on_weekends_cost_their_own_bars_and_no_more():
    """Bombay trades on a few, and its calendar lacks them: within a hundred sessions there have been three."""
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
        with pytest.raises(BadPayload, match=f"expected sessions of XBOM, found {len(others)} .*{others[0]}"):
            checked("RELIANCE.BSE", bars_with(others), bombay)


def test_bars_without_a_column_or_without_a_session_are_refused():
    with pytest.raises(BadPayload, match="found no low"):
        checked("IBM", flat_bars().drop(columns="low"), NEW_YORK)
    with pytest.raises(BadPayload, match="found no session"):
        checked("IBM", flat_bars(0), NEW_YORK)


@settings(deadline=None)
@given(strategies.series())
def test_bars_that_keep_the_rules_are_left_unchanged(bars):
    assert checked("IBM", bars[list(reversed(COLUMNS))], NEW_YORK).equals(bars)


def test_missing_sessions_are_named_and_not_invented():
    bars = flat_bars().drop(flat_bars().index[[2, 5]])
    assert View(bars, (), (), "", ()).holes(NEW_YORK) == (DAYS[2], DAYS[5])
    assert len(checked("IBM", bars, NEW_YORK)) == 8


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


def test_apples_crash_in_2000_is_not_a_split():
    around = recorded("AAPL").loc["2000-08-01":"2000-10-31"]
    assert around["close"].pct_change().min() < -0.5
    assert jumps(around) == ()


@pytest.mark.parametrize(
    "factor", [2, 3, 3 / 2, 4, 5, 7, 10, 15, 20, 50, 100, 1 / 2, 1 / 5, 0.1, 0.04, 5 / 4, 4 / 3, 5 / 3, 5 / 2]
)
@pytest.mark.parametrize("overnight", [0.985, 1.0, 1.015])
def test_common_splits_are_seen_through_an_overnight_move(factor, overnight):
    before, after = flat_bars(30), flat_bars(10, 100.0 / factor * overnight, first=30, volume=1e6 * factor)
    assert jumps(pd.concat([before, after])) == (DAYS[30],)


@pytest.mark.parametrize("fall", [0.5, 1 / 3, 0.75, 0.48])
@pytest.mark.parametrize("sign", ["volume", "range"])
def test_a_fall_on_a_wild_day_is_a_crash(fall, sign):
    before = with_value(flat_bars(30), 25, "volume", 1e9)  # one wild day does not make the next one usual
    after = flat_bars(10, 100.0 * fall, first=30, volume=2e7 if sign == "volume" else 1e6)
    bars = pd.concat([before, after])
    crash = bars if sign == "volume" else with_value(bars, 30, "low", 80.0 * fall)
    assert jumps(crash) == ()


@pytest.mark.parametrize(("factor", "overnight"), [(0.25, 1.0), (0.2, 0.9), (0.1, 0.8), (0.05, 1.3), (0.004, 1.0)])
def test_a_reverse_split_is_seen_however_wild_its_day(factor, overnight):
    before, after = flat_bars(30), flat_bars(10, 100.0 / factor * overnight, first=30, volume=1e7 * factor)
    bars = pd.concat([before, after])
    assert jumps(with_value(bars, 30, "low", 60.0 / factor)) == (DAYS[30],)


def test_orlys_split_of_15_for_1_is_seen():
    before, after = flat_bars(30, 1348.1), flat_bars(5, 90.0, first=30, volume=1.5e7)
    assert jumps(pd.concat([before, after])) == (DAYS[30],)


def test_later_sessions_do_not_change_whether_a_day_jumped():
    bars = recorded("AAPL")
    for end in (date(2000, 6, 21), date(2000, 6, 22), date(2000, 9, 29)):
        assert jumps(bars.loc[: str(end)]) == tuple(jump for jump in jumps(bars) if jump <= end)


@settings(deadline=None)
@given(strategies.series(), strategies.splits)
def test_back_adjusted_prices_times_what_a_share_has_become_are_the_traded_prices(bars, splits):
    adjusted, applied = back_adjusted(bars, splits), effective(bars, splits)[0]
    days = days_of(bars).tolist()
    shares = np.array([np.prod([split.factor for split in applied if day < split.effective]) for day in days])
    for name in PRICES:
        np.testing.assert_allclose(adjusted[name] * shares, bars[name], rtol=1e-13)
    np.testing.assert_allclose(adjusted["volume"] / shares, bars["volume"], rtol=1e-13)
    assert adjusted.index.equals(bars.index)
    assert adjusted.iloc[-1].equals(bars.iloc[-1])
    checked("IBM", adjusted, NEW_YORK)


def check_join(history: Bars, bars: Bars, first: date, ratio: float) -> None:
    series, join = joined("IBM", history, bars, NEW_YORK)
    assert join is not None
    assert join.ratio == pytest.approx(ratio)
    assert days_of(series)[0] == np.datetime64(first)
    assert series.iloc[-len(bars) :].equals(bars)
    past = days_of(history) < days_of(bars)[0]
    np.testing.assert_allclose(series[: past.sum()], history[past] * [*[ratio] * 4, 1 / ratio])
    checked("IBM", series, NEW_YORK)


def test_history_is_scaled_by_the_ratio_of_the_overlap():
    check_join(flat_bars(60, 25.0), flat_bars(100, 100.0, first=40), DAYS[0], 4.0)
    check_join(flat_bars(41, 25.0), flat_bars(100, 100.0, first=40), DAYS[0], 4.0)


def test_history_without_an_earlier_session_adds_nothing():
    bars = flat_bars(50, 100.0)
    series, join = joined("IBM", flat_bars(20, 25.0, first=0), bars, NEW_YORK)
    assert series.equals(bars)
    assert join is None


@pytest.mark.parametrize(("history_length", "missing"), [(35, DAYS[35:41]), (40, DAYS[40:41])])
def test_a_gap_is_refused_with_its_sessions(history_length, missing):
    with pytest.raises(NoOverlap) as refusal:
        joined("IBM", flat_bars(history_length, 25.0), flat_bars(50, 100.0, first=40), NEW_YORK)
    assert refusal.value.missing == missing
    assert str(missing[0]) in str(refusal.value)


@pytest.mark.parametrize("paid", [1.0, 0.99], ids=["", "after a dividend"])
def test_a_split_that_is_not_recorded_yet_makes_the_overlap_uneven_and_its_day_is_named(paid):
    levels = [flat_bars(50, 25.0 * paid), flat_bars(10, 25.0, first=50), flat_bars(40, 12.5, first=60)]
    with pytest.raises(UnevenOverlap) as refusal:
        joined("IBM", pd.concat(levels), flat_bars(100, 100.0, first=40), NEW_YORK)
    told = refusal.value
    assert (told.session, told.expected_ratio, told.found_ratio) == (DAYS[60], 0.25 * paid, 0.125)


@pytest.mark.parametrize(
    "rows", [[40], [41], [50], [59], [50, 51, 52, 80, 97], [57, 98, 99], range(45, 95, 5), range(50, 70)]
)
@pytest.mark.parametrize("factor", [0.97, 1.02, 1.5, 0.1, 100.0])
def test_a_few_odd_closes_in_the_overlap_are_named_and_do_not_move_the_ratio(rows, factor):
    history, bars = flat_bars(100, 25.0), flat_bars(100, 100.0, first=40)
    bars.iloc[[row - 40 for row in rows], :4] *= factor
    check_join(history, bars, DAYS[0], 4.0)
    assert joined("IBM", history, bars, NEW_YORK)[1].odd == tuple(DAYS[row] for row in rows)


@pytest.mark.parametrize(
    ("rows", "factor"),
    [(range(95, 100), 1.02), (range(40, 45), 0.97), (range(50, 82), 1.02), (range(40, 100, 2), 1.02)],
)
def test_a_ratio_that_changes_for_good_is_refused_with_the_remedy(rows, factor):
    bars = flat_bars(100, 100.0, first=40)
    bars.iloc[[row - 40 for row in rows], :4] *= factor
    with pytest.raises(UnevenOverlap, match="stockml import IBM FILE"):
        joined("IBM", flat_bars(100, 25.0), bars, NEW_YORK)


def test_closes_of_a_penny_share_that_are_rounded_to_cents_are_joined():
    walk = np.exp(np.cumsum(np.random.default_rng(5).normal(0, 0.02, 100)))
    history, bars = (
        make_bars(DAYS[:100], {name: np.round(scale * walk, 2) for name in COLUMNS}) for scale in (0.2, 0.8)
    )
    assert joined("IBM", history, bars.iloc[40:], NEW_YORK)[1].ratio == pytest.approx(4.0, rel=0.05)


def test_a_split_of_a_share_at_two_cents_makes_the_overlap_uneven_all_the_same():
    history = pd.concat([flat_bars(60, 0.02), flat_bars(40, 0.01, first=60)])
    with pytest.raises(UnevenOverlap):
        joined("IBM", history, flat_bars(100, 0.08, first=40), NEW_YORK)


def test_another_companys_prices_are_refused():
    noise = np.exp(np.random.default_rng(5).normal(0, 0.02, 60))
    history = make_bars(DAYS[:60], {name: flat_bars(60, 25.0)[name].to_numpy() * noise for name in COLUMNS})
    with pytest.raises(UnevenOverlap):
        joined("IBM", history, flat_bars(100, 100.0, first=40), NEW_YORK)


def test_dividends_inside_the_overlap_of_an_adjusted_history_are_accepted_but_no_more_than_a_company_pays():
    def history(*rows: int) -> Bars:
        paid = 0.99 ** (np.array(rows)[:, None] > np.arange(100)).sum(axis=0)
        return make_bars(DAYS[:100], {name: flat_bars(100, 25.0)[name].to_numpy() * paid for name in COLUMNS})

    bars = flat_bars(100, 100.0, first=40)
    for stored in (bars, bars.drop(bars.index[10])):  # a hole stays one: which ratio holds in it is not known
        check_join(history(63), stored, DAYS[0], 4.0 / 0.99)
    check_join(history(55, 70), bars, DAYS[0], 4.0 / 0.99**2)
    with pytest.raises(UnevenOverlap):
        joined("IBM", history(55, 70, 85), bars, NEW_YORK)


def test_later_sessions_of_the_overlap_do_not_move_the_ratio():
    history = flat_bars(100, 25.0)
    history["close"] = history["close"] * (1 + np.random.default_rng(5).uniform(-1e-4, 1e-4, 100))
    bars = flat_bars(100, 100.0, first=40)
    ratios = {joined("IBM", history, bars.loc[: str(DAYS[end])], NEW_YORK)[1].ratio for end in (60, 70, 99)}
    assert len(ratios) == 1
