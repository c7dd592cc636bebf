"""Proper scores: equal to the library scoringrules and to naive loops; the truth scores best.
Significance tests: equal to loops, correct error rates under overlap, no claims from too little
data."""

import math

import numpy as np
import pytest
import scoringrules
from scipy import stats

from stockml.forecasts.proper_scores import (
    COVERAGES,
    DieboldMariano,
    band,
    brier,
    crps,
    diebold_mariano,
    overlap,
    pinball,
    qlike,
    score_bands,
)
from stockml.models.regressions import LEVELS


def forecasts():
    drawn = np.random.default_rng(0).normal(size=(40, 5, len(LEVELS) + 1))
    return np.sort(drawn[..., 1:], axis=-1), drawn[..., 0]


def test_scores_are_those_of_scoringrules():
    quantiles, actual = forecasts()
    expected = scoringrules.quantile_score(actual[..., None], quantiles, LEVELS)
    assert pinball(quantiles, actual) == pytest.approx(expected)
    expected = scoringrules.crps_quantile(actual, quantiles, LEVELS)
    assert crps(quantiles, actual) == pytest.approx(expected)
    chance, happened = np.random.default_rng(2).random((2, 200))
    expected = scoringrules.brier_score((happened < 0.4).astype(float), chance)
    assert brier(chance, happened < 0.4) == pytest.approx(expected)


def test_coverage_is_counted_by_lead_and_bounds_count_as_inside():
    quantiles, actual = forecasts()
    low, high = band(quantiles, 0.8)
    actual[:2] = low[0], high[1]
    found = score_bands(quantiles, actual).bands
    assert [*found] == ["50", "80", "95"]
    for lead in range(5):
        inside = sum(low[i, lead] <= actual[i, lead] <= high[i, lead] for i in range(40))
        assert found["80"].coverage_by_lead[lead] == pytest.approx(inside / 40)
    assert found["80"].coverage == pytest.approx(np.mean(found["80"].coverage_by_lead))
    expected = scoringrules.interval_score(actual, low, high, 0.2).mean()
    assert found["80"].interval_score == pytest.approx(expected)


def test_the_ends_of_each_band_are_the_quantiles_at_its_two_levels():
    for coverage in COVERAGES:
        expected = (1 - coverage) / 2, (1 + coverage) / 2
        assert band(LEVELS, coverage) == pytest.approx(expected)


def test_qlike_is_zero_at_the_truth_and_least_on_average_at_the_mean_variance():
    actual = np.random.default_rng(0).chisquare(3, 10_000)
    assert qlike(actual, actual) == pytest.approx(0)
    low, best, high = (qlike(k * actual.mean(), actual).mean() for k in (0.9, 1.0, 1.1))
    assert best < min(low, high)
    assert low - best == pytest.approx(1 / 0.9 - 1 + np.log(0.9))


def plain_diebold_mariano(loss, other, shared):
    """Lazarus, Lewis, Stock and Watson (2018), equations 3 and 10."""
    d, n = loss - other, len(loss)
    cosines = n // (2 * shared - 1)
    j, t = np.arange(1, cosines + 1)[:, None], np.arange(n)
    projected = math.sqrt(2 / n) * np.cos(math.pi * j * (t + 0.5) / n) @ d
    statistic = d.mean() / math.sqrt(np.mean(projected**2) / n)
    return statistic, 2 * stats.t.sf(abs(statistic), cosines)


@pytest.mark.parametrize("unit", [1.0, 1e-15])
@pytest.mark.parametrize("shared", [2, 5, 40])
def test_diebold_mariano_follows_the_formulas_in_any_unit(shared, unit):
    random = np.random.default_rng(5)
    loss, other = unit * random.gamma(2, 1, 80), unit * random.gamma(2, 1.1, 80)
    test = diebold_mariano(loss, other, shared)
    expected = plain_diebold_mariano(loss, other, shared)
    assert (test.statistic, test.p_value) == pytest.approx(expected)


def test_without_overlapping_origins_it_is_students_t_test():
    random = np.random.default_rng(5)
    loss, other = random.gamma(2, 1, 80), random.gamma(2, 1.1, 80)
    test, students = diebold_mariano(loss, other, 1), stats.ttest_rel(loss, other)
    less = stats.ttest_rel(loss, other, alternative="greater").pvalue
    expected = DieboldMariano(students.statistic, students.pvalue, less, students.df)
    assert vars(test) == pytest.approx(vars(expected))
    around = test.around((loss - other).mean())
    assert (around.low, around.high) == pytest.approx(students.confidence_interval())


def test_equal_losses_have_a_p_value_of_one_and_too_few_losses_have_no_test():
    loss = 1e6 * np.arange(29.0)
    equal = DieboldMariano(0.0, 1.0, 0.5)
    for one, other in ((loss, loss), (loss, loss * (1 + 1e-15)), (0 * loss, 0 * loss)):
        assert diebold_mariano(one, other, 5) == equal
    assert equal.around(0.0) is None
    # a record of an earlier version has no degrees of freedom
    assert DieboldMariano(-2.0, 0.05, 0.98).around(0.1) is None
    assert diebold_mariano(loss[:9], 1.1 * loss[:9], 5) is None


def test_overlapping_origins_are_counted():
    for every, shared in ((10, 5), (1, 50), (50, 1), (60, 1), (7, 8)):
        assert overlap(np.arange(100, 2_000, every), 50) == shared


@pytest.mark.parametrize(
    ("count", "shared"), [(10, 5), (13, 5), (30, 5), (145, 5), (6, 2), (20, 10), (100, 50)]
)
def test_equal_forecasts_on_overlapping_origins_are_seldom_called_different(count, shared):
    random, p_values = np.random.default_rng(8), []
    for _ in range(1_000):
        squares = random.normal(size=(2, count + shared - 1)) ** 2
        one, other = (np.convolve(each, np.ones(shared), mode="valid") for each in squares)
        test = diebold_mariano(one, other, shared)
        p_values.append(test.p_value)
        around = test.around(one.mean() - other.mean())
        assert (around.low > 0 or around.high < 0) == (test.p_value < 0.05)
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.09
    assert np.mean(np.array(p_values) < 0.001) < 0.006


def test_three_origins_are_enough_and_gains_that_cancel_out_have_no_interval():
    assert diebold_mariano(np.array([1.0, 2.0, 4.0]), np.ones(3), 1) is not None
    assert diebold_mariano(np.array([1.0, 2.0]), np.ones(2), 1) is None
    gains = np.array([1.0, 0.0, 0.0, 1.0])
    even = diebold_mariano(gains, 1 - gains, 1)
    assert (even.statistic, even.p_value, even.around(0.0)) == (0.0, 1.0, None)
