"""Prices adjusted for splits and back, and imported history joined by its overlap, or refused where
it does not fit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from stockml.errors import InconsistentOverlap, NoOverlap
from stockml.prices.bars import PRICES, Split, checked, days_of
from stockml.prices.split_adjustment import back_adjusted, effective, is_contradicted, joined
from tests.stockml.prices.stored import MSFT, SPLIT_DAY
from tests.stockml.prices.test_bars import DAYS, flat_bars
from tests.support import strategies
from tests.support.strategies import NEW_YORK

# the same share in two units, on overlapping sessions
HISTORY, BARS = flat_bars(100, 25.0), flat_bars(100, 100.0, first=40)


@pytest.mark.slow
@given(strategies.series(), strategies.splits)
def test_back_adjusted_prices_times_what_a_share_has_become_are_the_traded_prices(bars, splits):
    adjusted, applied = back_adjusted(bars, splits), effective(bars, splits)[0]
    days = days_of(bars).tolist()
    shares = np.array(
        [np.prod([split.factor for split in applied if day < split.effective]) for day in days]
    )
    for name in PRICES:
        np.testing.assert_allclose(adjusted[name] * shares, bars[name], rtol=1e-13)
    np.testing.assert_allclose(adjusted["volume"] / shares, bars["volume"], rtol=1e-13)
    assert adjusted.index.equals(bars.index)
    assert adjusted.iloc[-1].equals(bars.iloc[-1])
    checked("IBM", adjusted, NEW_YORK)


def check_join(history, bars, ratio):
    series, join = joined("IBM", history, bars, NEW_YORK)
    assert join.ratio == pytest.approx(ratio)
    past = history[history.index < bars.index[0]]
    assert series.index.equals(past.index.append(bars.index))
    assert series.iloc[-len(bars) :].equals(bars)
    np.testing.assert_allclose(series[: len(past)], past * [*[ratio] * 4, 1 / ratio])
    return join


def test_history_is_scaled_by_the_ratio_of_the_overlap():
    for length in (41, 60):
        check_join(flat_bars(length, 25.0), BARS, 4.0)


@pytest.mark.parametrize(("history_length", "missing"), [(35, DAYS[35:41]), (40, DAYS[40:41])])
def test_a_gap_is_refused_with_its_sessions(history_length, missing):
    with pytest.raises(NoOverlap) as refusal:
        joined("IBM", flat_bars(history_length, 25.0), BARS, NEW_YORK)
    assert refusal.value.missing == missing
    assert str(missing[0]) in str(refusal.value)


@pytest.mark.parametrize("paid", [1.0, 0.99], ids=["", "after a dividend"])
def test_a_split_that_is_not_recorded_yet_makes_the_overlap_uneven_and_its_day_is_named(paid):
    levels = [
        flat_bars(50, 25.0 * paid),
        flat_bars(10, 25.0, first=50),
        flat_bars(40, 12.5, first=60),
    ]
    with pytest.raises(InconsistentOverlap) as refusal:
        joined("IBM", pd.concat(levels), BARS, NEW_YORK)
    told = refusal.value
    assert (told.session, told.expected_ratio, told.found_ratio) == (DAYS[60], 0.25 * paid, 0.125)


@pytest.mark.parametrize(
    "rows",
    [[40], [41], [50], [59], [50, 51, 52, 80, 97], [57, 98, 99], range(45, 95, 5), range(50, 70)],
)
@pytest.mark.parametrize("factor", [0.97, 1.02, 1.5, 0.1, 100.0])
def test_a_few_odd_closes_in_the_overlap_are_named_and_do_not_move_the_ratio(rows, factor):
    bars = BARS.copy()
    bars.iloc[[row - 40 for row in rows], :4] *= factor
    assert check_join(HISTORY, bars, 4.0).odd == tuple(DAYS[row] for row in rows)


@pytest.mark.parametrize(
    ("rows", "factor"),
    [
        (range(95, 100), 1.02),
        (range(40, 45), 0.97),
        (range(50, 82), 1.02),
        (range(40, 100, 2), 1.02),
    ],
)
def test_a_ratio_that_changes_for_good_is_refused_with_the_remedy(rows, factor):
    bars = BARS.copy()
    bars.iloc[[row - 40 for row in rows], :4] *= factor
    with pytest.raises(InconsistentOverlap, match="stockml import IBM FILE"):
        joined("IBM", HISTORY, bars, NEW_YORK)


def test_dividends_inside_the_overlap_of_an_adjusted_history_are_accepted_but_no_more_than_a_company_pays():
    def history(*rows):
        paid = 0.99 ** (np.array(rows)[:, None] > np.arange(100)).sum(axis=0)
        return HISTORY.mul(paid, axis=0)

    # a hole stays one: which ratio holds in it is not known
    for stored in (BARS, BARS.drop(BARS.index[10])):
        check_join(history(63), stored, 4.0 / 0.99)
    check_join(history(55, 70), BARS, 4.0 / 0.99**2)
    with pytest.raises(InconsistentOverlap):
        joined("IBM", history(55, 70, 85), BARS, NEW_YORK)


def test_later_sessions_of_the_overlap_do_not_move_the_ratio():
    noise = np.random.default_rng(5).uniform(-1e-4, 1e-4, 100)
    history = HISTORY.assign(close=HISTORY["close"] * (1 + noise))
    joins = [joined("IBM", history, BARS.iloc[:sessions], NEW_YORK)[1] for sessions in (21, 31, 60)]
    assert len({join.ratio for join in joins}) == 1


def test_a_split_is_contradicted_unless_a_close_within_five_sessions_moved_its_way_or_it_is_too_small_to_show():
    at = MSFT.index.get_loc(pd.Timestamp(SPLIT_DAY))

    def contradicted(off, factor):
        return is_contradicted(MSFT, Split(MSFT.index[at + off].date(), factor))

    assert [off for off in range(-9, 10) if not contradicted(off, 2.0)] == list(range(-5, 6))
    assert contradicted(0, 0.5)
    assert not contradicted(200, 1.05)
    assert not contradicted(200, 1 / 1.05)
