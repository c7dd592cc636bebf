"""Significance tests: known answers by loop, honest error rates under overlap, nothing claimed from too little."""

import math

import numpy as np
import pytest
from scipy import stats

from stockml.evaluation.significance import diebold_mariano, overlap, skill_difference_interval


def loop_diebold_mariano(loss: np.ndarray, other: np.ndarray, lags: int) -> tuple[float, float]:
    """Harvey, Leybourne and Newbold (1997), equations 3 to 9, one sum at a time."""
    d = [a - b for a, b in zip(loss, other, strict=True)]
    n, mean = len(d), sum(d) / len(d)
    variance = sum((x - mean) ** 2 for x in d) / n
    for lag in range(1, lags):
        variance += 2 * sum((d[i] - mean) * (d[i - lag] - mean) for i in range(lag, n)) / n
    plain = mean / math.sqrt(variance / n)
    corrected = plain * math.sqrt((n + 1 - 2 * lags + lags * (lags - 1) / n) / n)
    return corrected, 2 * (1 - stats.t.cdf(abs(corrected), n - 1))


@pytest.mark.parametrize("lags", [1, 2, 5])
def test_diebold_mariano_is_what_the_formulas_say(lags: int) -> None:
    generator = np.random.default_rng(5)
    loss, other = generator.gamma(2, 1, 80), generator.gamma(2, 1.1, 80)
    found = diebold_mariano(loss, other, lags)
    assert found is not None
    statistic, p_value = loop_diebold_mariano(loss, other, lags)
    assert found.statistic == pytest.approx(statistic)
    assert found.p_value == pytest.approx(p_value)


def test_the_sign_says_who_loses() -> None:
    generator = np.random.default_rng(6)
    good, bad = generator.gamma(2, 1, 100), generator.gamma(2, 2, 100)
    worse, better = diebold_mariano(bad, good, 1), diebold_mariano(good, bad, 1)
    assert worse is not None
    assert better is not None
    assert worse.statistic == pytest.approx(-better.statistic)
    assert worse.p_worse < 0.01
    assert better.p_worse > 0.99
    assert worse.p_value == pytest.approx(better.p_value)


def test_equal_losses_differ_by_luck_alone_and_too_few_say_nothing() -> None:
    loss = np.arange(1.0, 30.0)
    equal = diebold_mariano(loss, loss, 5)
    assert equal is not None
    assert (equal.statistic, equal.p_value, equal.p_worse) == (0.0, 1.0, 0.5)
    assert diebold_mariano(loss, loss * (1 + 1e-15), 5) == equal
    assert diebold_mariano(loss[:9], loss[:9] + 1, 5) is None
    assert skill_difference_interval(loss[:9], loss[:9] + 1, loss[:9], 5) is None


def test_a_constant_difference_has_no_variance_and_no_test() -> None:
    loss = np.arange(1.0, 65.0)
    assert diebold_mariano(loss, loss + 1, 5) is None


def test_a_negative_plain_sum_falls_back_to_bartletts_weights() -> None:
    difference = np.tile([1.0, -1.0], 30) + 0.01
    found = diebold_mariano(difference, np.zeros(60), 2)
    assert found is not None
    assert math.isfinite(found.statistic)


@pytest.mark.parametrize(
    ("every", "horizon", "shared"), [(10, 50, 5), (1, 50, 50), (50, 50, 1), (60, 50, 1), (7, 50, 8)]
)
def test_overlapping_origins_are_counted(every: int, horizon: int, shared: int) -> None:
    assert overlap(np.arange(100, 2_000, every), horizon) == shared


def overlapping_losses(generator: np.random.Generator, count: int, shared: int) -> np.ndarray:
    return np.convolve(generator.normal(size=count + shared - 1) ** 2, np.ones(shared), mode="valid")


def test_equal_forecasts_on_overlapping_origins_are_seldom_called_different() -> None:
    generator = np.random.default_rng(8)
    pairs = [(overlapping_losses(generator, 145, 5), overlapping_losses(generator, 145, 5)) for _ in range(400)]
    naive = sum(test.p_value < 0.05 for a, b in pairs if (test := diebold_mariano(a, b, 1)))
    honest = sum(test.p_value < 0.05 for a, b in pairs if (test := diebold_mariano(a, b, 5)))
    assert honest / 400 < 0.12
    assert naive / 400 > 0.25  # what ignoring the overlap would claim


def test_the_interval_covers_the_true_difference_and_is_repeatable() -> None:
    generator = np.random.default_rng(9)
    covered = 0
    for _ in range(100):
        naive = overlapping_losses(generator, 145, 5) + 1
        loss, other = naive * 0.9, naive * 0.95 + generator.normal(0, 0.1, 145)
        found = skill_difference_interval(loss, other, naive, 5)
        assert found is not None
        assert found == skill_difference_interval(loss, other, naive, 5)
        covered += found.low <= 0.05 <= found.high
    assert covered >= 85


def test_no_skill_is_defined_where_the_last_value_made_no_error() -> None:
    assert skill_difference_interval(np.ones(50), np.ones(50), np.zeros(50), 5) is None
