"""The baselines: the same paths as naive loops that see nothing after the origin."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from stockml.features.volatility import Volatilities
from stockml.models.regressions import USUAL_VOLATILITY, baseline_paths, published_median
from stockml.prices.series import PriceSeries


def prices(n=400, seed=3):
    return 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0003, 0.015, n)))


def loop_average(past, lead):
    return np.mean(past[-100:])


def loop_ema(past, lead):
    level = past[0]
    for value in past:
        level = 0.5 * level + 0.5 * value
    return level


def loop_drift(past, lead):
    steps = [after - before for before, after in pairwise(past)][-2500:]
    return past[-1] + lead * (sum(steps) / len(steps) if steps else 0.0)


def loop_momentum(past, lead):
    steps = [after - before for before, after in pairwise(past)][-20:]
    value, step = past[-1], sum(steps) / len(steps) if steps else 0.0
    for _ in range(lead):
        step *= 0.9
        value += step
    return value


ORACLES: dict[str, Callable[[np.ndarray, int], float]] = {
    "standard average": loop_average,
    "EMA": loop_ema,
    "drift": loop_drift,
    "momentum": loop_momentum,
}


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("n", [1, 30, 400])
def test_paths_equal_those_of_a_naive_loop(name, n):
    mid = prices(n)
    origins = np.unique(np.linspace(0, n - 1, 7).astype(np.int64))
    paths = baseline_paths(mid, origins, 6)[name]
    for row, origin in enumerate(origins):
        expected = [ORACLES[name](mid[: origin + 1], lead) for lead in range(1, 7)]
        np.testing.assert_allclose(paths[row], expected, rtol=1e-10)


def test_drift_forgets_what_is_older_than_2500_sessions():
    mid = np.concatenate([prices(300), 40.0 + 0.01 * np.arange(2_501)])
    path = baseline_paths(mid, np.array([len(mid) - 1]), 2)["drift"]
    np.testing.assert_allclose(path[0], mid[-1] + np.array([0.01, 0.02]))


def steady(rises):
    """Bars without a range that move by these log returns."""
    price = np.exp(np.cumsum(rises))
    return PriceSeries(
        np.datetime64("2001-01-01") + np.arange(len(price)), price, price, price, price, price
    )


def test_a_crash_promises_no_more_than_the_highest_volatility_at_which_a_rise_was_measured():
    halved, crashed = (steady([0.01, -0.01] * 250 + [np.log(kept)]) for kept in (0.5, 0.05))
    at, leads = np.array([499, 500]), np.array([1, 50])
    ordinary, after = published_median(crashed, at, leads)
    assert ordinary[1] == pytest.approx(
        0.5 * 0.0003 * (Volatilities.of(crashed).ewma_60[499] / USUAL_VOLATILITY) ** 0.75 * 50
    )
    assert after[1] == published_median(halved, at, leads)[1, 1] == pytest.approx(0.032, abs=0.001)
