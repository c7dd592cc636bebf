"""Significance tests: answers equal to loops, correct error rates under overlap, no claims from too
little data."""

import math

import numpy as np
import pytest
from scipy import stats

from stockml.evaluation.significance import DieboldMariano, diebold_mariano, overlap


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
@pytest.mark.parametrize("shared", [2, 3, 5, 40])
def test_diebold_mariano_follows_the_formulas_in_any_unit(shared: int, unit: float) -> None:
    generator = np.random.default_rng(5)
    loss, other = unit * generator.gamma(2, 1, 80), unit * generator.gamma(2, 1.1, 80)
    found = diebold_mariano(loss, other, shared)
    assert found is not None
    statistic, p_value = loop_diebold_mariano(loss, other, shared)
    assert found.statistic == pytest.approx(statistic)
    assert found.p_value == pytest.approx(p_value)


def test_without_overlapping_origins_it_is_students_t_test() -> None:
    generator = np.random.default_rng(5)
    loss, other = generator.gamma(2, 1, 80), generator.gamma(2, 1.1, 80)
    found, students = diebold_mariano(loss, other, 1), stats.ttest_rel(loss, other)
    assert found is not None
    assert (found.statistic, found.p_value) == pytest.approx((students.statistic, students.pvalue))
    around = found.around(float((loss - other).mean()))
    assert around is not None
    assert (around.low, around.high) == pytest.approx(tuple(students.confidence_interval()))


def test_the_sign_shows_which_forecast_is_worse() -> None:
    generator = np.random.default_rng(6)
    good, bad = generator.gamma(2, 1, 100), generator.gamma(2, 2, 100)
    worse, better = diebold_mariano(bad, good, 1), diebold_mariano(good, bad, 1)
    assert worse is not None
    assert better is not None
    assert worse.statistic == pytest.approx(-better.statistic)
    assert worse.p_worse < 0.01
    assert better.p_worse > 0.99
    assert worse.p_value == pytest.approx(better.p_value)


def test_equal_losses_have_a_p_value_of_one_and_too_few_losses_have_no_test() -> None:
    loss = 1e6 * np.arange(29.0)
    equal = diebold_mariano(loss, loss, 5)
    assert equal is not None
    assert (equal.statistic, equal.p_value, equal.p_worse) == (0.0, 1.0, 0.5)
    assert (
        diebold_mariano(loss, loss * (1 + 1e-15), 5)
        == diebold_mariano(0 * loss, 0 * loss, 5)
        == equal
    )
    assert equal.around(0.0) is None
    assert DieboldMariano(-2.0, 0.05, 0.98).around(0.1) is None, (
        "a record of an earlier version has no degrees of freedom"
    )
    assert diebold_mariano(loss[:9], 1.1 * loss[:9], 5) is None


@pytest.mark.parametrize(
    ("every", "horizon", "shared"), [(10, 50, 5), (1, 50, 50), (50, 50, 1), (60, 50, 1), (7, 50, 8)]
)
def test_overlapping_origins_are_counted(every: int, horizon: int, shared: int) -> None:
    assert overlap(np.arange(100, 2_000, every), horizon) == shared


def overlapping_losses(generator: np.random.Generator, count: int, shared: int) -> np.ndarray:
    return np.convolve(
        generator.normal(size=count + shared - 1) ** 2, np.ones(shared), mode="valid"
    )


@pytest.mark.parametrize(
    ("count", "shared"),
    [(10, 5), (13, 5), (20, 5), (30, 5), (94, 5), (145, 5), (6, 2), (24, 2), (20, 10), (100, 50)],
)
def test_equal_forecasts_on_overlapping_origins_are_seldom_called_different(
    count: int, shared: int
) -> None:
    generator = np.random.default_rng(8)
    p_values = []
    for _ in range(1_000):
        one, other = (overlapping_losses(generator, count, shared) for _ in range(2))
        found = diebold_mariano(one, other, shared)
        assert found is not None
        p_values.append(found.p_value)
        around = found.around(one.mean() - other.mean())
        assert around is not None
        assert (around.low > 0 or around.high < 0) == (found.p_value < 0.05)
    assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.09
    assert np.mean(np.array(p_values) < 0.001) < 0.006


def test_a_clear_difference_is_found() -> None:
    generator = np.random.default_rng(9)
    losses = [overlapping_losses(generator, 145, 5) for _ in range(400)]
    clear = [
        test
        for each in losses
        if (test := diebold_mariano(each + generator.normal(0.5, 1, 145), each, 5))
    ]
    assert sum(test.p_worse < 0.05 for test in clear) / 400 > 0.95


def test_three_origins_are_enough_and_gains_that_cancel_out_have_no_interval() -> None:
    assert diebold_mariano(np.array([1.0, 2.0, 4.0]), np.ones(3), 1) is not None
    assert diebold_mariano(np.array([1.0, 2.0]), np.ones(2), 1) is None
    even = diebold_mariano(np.array([1.0, 0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0]), 1)
    assert even is not None
    assert (even.statistic, even.p_value, even.around(0.0)) == (0.0, 1.0, None)
