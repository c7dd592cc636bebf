"""The baselines: the same paths as naive loops, no look-ahead, and milliseconds for all sessions of a long series."""

import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from stockml.models.baselines import baseline_paths


def prices(n: int = 400, seed: int = 3) -> np.ndarray:
    return 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0.0003, 0.015, n)))


def loop_average(past: np.ndarray, lead: int) -> float:
    return sum(past[-100:]) / len(past[-100:])


def loop_ema(past: np.ndarray, lead: int) -> float:
    level = past[0]
    for value in past:
        level = 0.5 * level + 0.5 * value
    return level


def loop_last(past: np.ndarray, lead: int) -> float:
    return past[-1]


def loop_drift(past: np.ndarray, lead: int) -> float:
    steps = [after - before for before, after in pairwise(past)][-2500:]
    return past[-1] + lead * (sum(steps) / len(steps) if steps else 0.0)


def loop_momentum(past: np.ndarray, lead: int) -> float:
    steps = [after - before for before, after in pairwise(past)][-20:]
    value, step = past[-1], sum(steps) / len(steps) if steps else 0.0
    for _ in range(lead):
        step *= 0.9
        value += step
    return value


ORACLES: dict[str, Callable[[np.ndarray, int], float]] = {
    "standard average": loop_average,
    "EMA": loop_ema,
    "last mid price": loop_last,
    "drift": loop_drift,
    "momentum": loop_momentum,
}


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("n", [1, 2, 30, 400])
def test_paths_equal_those_of_a_naive_loop(name: str, n: int) -> None:
    mid = prices(n)
    origins = np.unique(np.linspace(0, n - 1, 7).astype(np.int64))
    paths = baseline_paths(mid, origins, 6)[name]
    for row, origin in enumerate(origins):
        expected = [ORACLES[name](mid[: origin + 1], lead) for lead in range(1, 7)]
        np.testing.assert_allclose(paths[row], expected, rtol=1e-10)


def test_drift_forgets_what_is_older_than_2500_sessions() -> None:
    mid = np.concatenate([prices(300), 40.0 + 0.01 * np.arange(2_501)])
    path = baseline_paths(mid, np.array([len(mid) - 1]), 2)["drift"]
    np.testing.assert_allclose(path[0], mid[-1] + np.array([0.01, 0.02]))


@pytest.mark.parametrize("name", ORACLES)
def test_prices_after_the_origin_change_nothing(name: str) -> None:
    mid, origins = prices(), np.array([5, 120, 250])
    changed = mid.copy()
    changed[251:] *= 7.0
    before, after = (baseline_paths(each, origins, 50)[name] for each in (mid, changed))
    np.testing.assert_array_equal(before, after)


def test_all_baselines_over_14000_sessions_take_at_most_20_ms() -> None:
    mid, origins = prices(14_000), np.arange(13_950)

    def seconds() -> float:  # this process's CPU time, so other load on the machine does not count
        start = time.process_time()
        baseline_paths(mid, origins, 50)
        return time.process_time() - start

    assert min(seconds() for _ in range(10)) <= 0.020
