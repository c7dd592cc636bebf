"""Altering every bar after t leaves everything computed as of t unchanged, to the last bit.

For what is learned, said, chosen and published as of t, see test_ticker_training.py,
test_pretrained_network.py and test_assessment.py.
The `tutorial` profile is the exception; its two known leaks are shown in
test_tutorial_recipe.py and test_tutorial.py.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from stockml.features.origins import starts
from stockml.features.volatility import Volatilities, input_averages, width_inputs
from stockml.models.regressions import expected_drift, published_median
from stockml.storage.arrays import Floats
from tests.support.walks import altered_after, begins_tenfold, hole_of_a_year, walk

LEADS = np.arange(1, 6)
VOLATILITIES = ("range", "ewma_20", "ewma_60", "constant", "return_count")


@pytest.mark.parametrize("t", [0, 1, 30, 62, 250, 1_005])
def test_inputs_volatility_and_usual_paths_as_of_t_ignore_later_bars(t):
    series, at = walk(1_030), np.array([t])
    other = altered_after(series, t)
    assert not np.array_equal(other.mid, series.mid)
    for rows_of in CAUSAL:
        np.testing.assert_array_equal(rows_of(other)[: t + 1], rows_of(series)[: t + 1])
    medians = (published_median(each, at, LEADS) for each in (other, series))
    np.testing.assert_array_equal(*medians)


@pytest.mark.parametrize("series", [walk(1_200), hole_of_a_year(), begins_tenfold(bars=300)])
@pytest.mark.parametrize("n", [2, 30, 300, 301, 600, 601, 1_005])
def test_what_is_computed_once_for_all_nights_is_what_each_would_compute_from_its_own_bars(
    series, n
):
    night, alone = series.until(n), replace(series.until(n))  # which has no later bars
    assert (night.whole, night.until(n - 1).whole, alone.whole) == (series, series, alone)
    assert starts(night).tolist() == starts(alone).tolist()
    for rows_of in CAUSAL:
        np.testing.assert_array_equal(rows_of(night), rows_of(alone))
        assert np.shares_memory(rows_of(night), rows_of(series)), "computed for each night"


def volatility(name, series):
    found: Floats = getattr(Volatilities.of(series), name)
    return found


CAUSAL = (
    expected_drift,
    width_inputs,
    input_averages,
    *(partial(volatility, name) for name in VOLATILITIES),
)
