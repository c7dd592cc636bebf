"""Significance tests: answers equal to loops, correct error rates under overlap, no claims from too
little data."""

import math

import numpy as np
import pytest
from scipy import stats

from stockml.forecasts.proper_scores import DieboldMariano, diebold_mariano, overlap


def found(loss: np.ndarray, other: np.ndarray, shared: int) -> DieboldMariano:
    test = diebold_mariano(loss, other, shared)
    assert test is not None
    return test


def loop_diebold_mariano(loss: np.ndarray, other: np.ndarray, shared: int) -> tuple[float, float]:
    """Lazarus, Lewis, Stock and Watson (2018), equations 3 and 10, one cosine and one sum at a
    time."""
    d = [a - b for a, b in zip(loss, other, strict=True)]
    n = len(d)
    cosines = n // (2 * shared - 1)
    projected = [
        math.sqrt(2 / n) * sum(x * math.cos(math.pi * j * (t + 0.5) / n) for t, x in enumerate(d))
        for j in range(1, cosines + 1)
    ]
    statistic = sum(d) / n / math.sqrt(sum(each**2 for each in projected) / cosines / n)
    return statistic, 2 * (1 - stats.t.cdf(abs(statistic), cosines))


@pytest.mark.parametrize("unit", [1.0, 1e-15])
@pytest.mark.parametrize("shared", [2, 5, 40])
def test_diebold_mariano_follows_the_formulas_in_any_unit(shared: int, unit: float) -> None:
    random = np.random.default_rng(5)
    loss, other = unit * random.gamma(2, 1, 80), unit * random.gamma(2, 1.1, 80)
    test = found(loss, other, shared)
    expected = loop_diebold_mariano(loss, other, shared)
    assert (test.statistic, test.p_value) == pytest.approx(expected)


def test_without_overlapping_origins_it_is_students_t_test() -> None:
    random = np.random.default_rng(5)
    loss, other = random.gamma(2, 1, 80), random.gamma(2, 1.1, 80)
    test, students = found(loss, other, 1), stats.ttest_rel(loss, other)
    assert (test.statistic, test.p_value) == pytest.approx((students.statistic, students.pvalue))
    around = test.around(float((loss - other).mean()))
    assert around is not None
    assert (around.low, around.high) == pytest.approx(tuple(students.confidence_interval()))
    less = stats.ttest_rel(loss, other, alternative="greater")
    assert test.p_worse == pytest.approx(less.pvalue)


def test_equal_losses_have_a_p_value_of_one_and_too_few_losses_have_no_test() -> None:
    loss = 1e6 * np.arange(29.0)
    equal = found(loss, loss, 5)
    assert (equal.statistic, equal.p_value, equal.p_worse) == (0.0, 1.0, 0.5)
    assert found(loss, loss * (1 + 1e-15), 5) == found(0 * loss, 0 * loss, 5) == equal
    assert equal.around(0.0) is None
    # a record of an earlier version has no degrees of freedom
    assert DieboldMariano(-2.0, 0.05, 0.98).around(0.1) is None
    assert diebold_mariano(loss[:9], 1.1 * loss[:9], 5) is None


@pytest.mark.parametrize(("every", "shared"), [(10, 5), (1, 50), (50, 1), (60, 1), (7, 8)])
def test_overlapping_origins_are_counted(every: int, shared: int) -> None:
    assert overlap(np.arange(100, 2_000, every), 50) == shared


def overlapping_losses(random: np.random.Generator, count: int, shared: int) -> np.ndarray:
    squares = random.normal(size=count + shared - 1) ** 2
    return np.convolve(squares, np.ones(shared), mode="valid")


@pytest.mark.parametrize(
    ("count", "shared"), [(10, 5), (13, 5), (30, 5), (145, 5), (6, 2), (20, 10), (100, 50)]
)
def test_equal_forecasts_on_overlapping_origins_are_seldom_called_different(
    count: int, shared: int
) -> None:
    random, p_values = np.random.default_rng(8), []
    for _ in range(1_000):
        one, other = (overlapping_losses(random, count, shared) for _ in range(2))
        test = found(one, other, shared)
        p_values.append(test.p_value)
        around = test.around(one.mean() - other.mean())
        assert around is not None
        assert (around.low > 0 or around.high < 0) == (test.p_value < 0.05)
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.09
    assert np.mean(np.array(p_values) < 0.001) < 0.006


def test_a_clear_difference_is_found() -> None:
    random = np.random.default_rng(9)
    losses = [overlapping_losses(random, 145, 5) for _ in range(400)]
    tests = [found(each + random.normal(0.5, 1, 145), each, 5) for each in losses]
    assert sum(test.p_worse < 0.05 for test in tests) / 400 > 0.95


def test_three_origins_are_enough_and_gains_that_cancel_out_have_no_interval() -> None:
    assert diebold_mariano(np.array([1.0, 2.0, 4.0]), np.ones(3), 1) is not None
    assert diebold_mariano(np.array([1.0, 2.0]), np.ones(2), 1) is None
    even = found(np.array([1.0, 0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0]), 1)
    assert (even.statistic, even.p_value, even.around(0.0)) == (0.0, 1.0, None)
