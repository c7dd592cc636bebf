"""The chance of a touch follows the distribution and a simulated market; the own frequency knows no
later bar."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stockml.forecasts.outlook import (
    Touch,
    chance_above,
    lowest_lows,
    own_frequencies,
    touch_chance,
)
from stockml.models.regressions import LEVELS, symmetrised
from tests.support.walks import walk, with_prices

NORMAL = stats.norm.ppf(LEVELS)
SERIES = walk(600, seed=3)
distributions = st.lists(st.floats(-0.5, 0.5), min_size=21, max_size=21).map(np.sort)
falls = st.floats(0.001, 0.9)


@given(distributions, falls, falls)
def test_a_touch_is_a_chance_that_falls_with_the_barrier_and_includes_every_end_below_it(
    quantiles, one, other
):
    near, far = (float(touch_chance(quantiles, fall)) for fall in sorted((one, other)))
    assert 0 <= far <= near <= 1
    assert near >= 1 - chance_above(symmetrised(quantiles), np.log1p(-min(one, other)))


@pytest.mark.parametrize(("daily", "fall"), [(0.01, 0.05), (0.02, 0.1), (0.04, 0.1)])
def test_it_agrees_with_lows_simulated_within_sessions_that_open_with_a_gap(daily, fall):
    # of a session, overnight, with a fifth of the variance, and fifty moves in it
    deviations = daily * np.sqrt(np.tile([0.2, *[0.8 / 50] * 50], 20))
    paths = np.random.default_rng(5).normal(0, deviations, (10_000, len(deviations))).cumsum(axis=1)
    touched = paths.min(axis=1) <= np.log1p(-fall)
    said = touch_chance(daily * np.sqrt(20) * NORMAL, fall)
    assert said == pytest.approx(touched.mean(), abs=0.03)


def test_the_lowest_low_and_the_own_frequency_are_those_of_a_loop():
    lows, origins = lowest_lows(SERIES), np.array([100, 268, 269, 270, 599])
    lowest = [min(SERIES.low[at + 1 : at + 21]) / SERIES.close[at] for at in range(580)]
    np.testing.assert_allclose(lows, np.log([*lowest, *[np.nan] * 20]))
    found, fell = own_frequencies(lows, origins, 0.05), np.array(lowest) <= 0.95
    # 250 windows end by session 269
    expected = [np.nan, np.nan, *(fell[: origin - 19].mean() for origin in origins[2:])]
    np.testing.assert_allclose(found, expected)


def test_no_later_bar_changes_a_frequency_and_no_window_spans_a_change_of_units():
    origins = np.array([400, 500])
    later = np.arange(len(SERIES)) > 500
    crashed = replace(SERIES, low=np.where(later, 0.6 * SERIES.low, SERIES.low))
    before, after = (
        own_frequencies(lowest_lows(each), origins, 0.05) for each in (SERIES, crashed)
    )
    assert before.tolist() == after.tolist()
    lows = lowest_lows(with_prices(SERIES, np.where(later, 0.01, 1.0)))
    assert np.isnan(lows[481:501]).all()
    assert np.isfinite(lows[[480, 501]]).all()


def test_a_chance_that_scored_no_better_than_the_own_frequency_gives_way_to_it():
    for own, skill, shown in (
        (0.4, 0.02, 0.3),
        (0.4, 0.0, 0.4),
        (0.4, None, 0.3),
        (None, 0.0, 0.3),
    ):
        assert Touch(20, 0.05, 0.3, own, skill, 150, 0.38).shown == shown
