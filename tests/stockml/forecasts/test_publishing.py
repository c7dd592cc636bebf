"""What is published equals a loop over outcomes, uses no later ones, and its quantiles never fall."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockml.forecasts.publishing import MAX_FEEDBACK, Components, combine
from stockml.models.lead_grid import LEVELS
from stockml.prices.series import PriceSeries
from tests.support.walks import altered_after, constant, walk

SERIES, LEADS = walk(400, seed=5), 5
NORMAL = np.linspace(-2.0, 2.0, len(LEVELS))


def components(at: np.ndarray, *, simple: float = 0.01, network: float | None = 0.012, seed: int = 1) -> Components:
    """Forecasts whose widths vary around these by origin and lead, with a location and a skew that is left out."""
    rng = np.random.default_rng(seed)
    width = np.exp(rng.normal(0, 0.2, (2, len(at), LEADS))) * np.sqrt(np.arange(1, LEADS + 1))
    skewed = NORMAL + 0.1 * NORMAL**2 + 0.3
    location = rng.normal(0, 0.002, (len(at), LEADS))
    parts = None if network is None else network * width[1][..., None] * NORMAL
    return Components(location, simple * width[0][..., None] * skewed, parts)


def score(quantiles: np.ndarray, actual: float) -> float:
    losses = [(level - (actual < q)) * (actual - q) for q, level in zip(quantiles, LEVELS, strict=True)]
    return 2 * sum(losses) / len(losses)


def naive(series: PriceSeries, at: np.ndarray, parts: Components) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantiles, shares and feedback, all learned afresh for each origin, one number at a time."""
    shares, feedback = np.zeros((len(at), LEADS)), np.zeros(len(at))
    quantiles = np.zeros((len(at), LEADS, len(LEVELS)))
    for row, origin in enumerate(at):
        due = [i for i in range(row) if at[i] + LEADS <= origin]
        for i in due:
            gap = at[i] - at[i - 1] if i else 1
            actual = [np.log(series.mid[at[i] + k + 1] / series.close[at[i]]) for k in range(LEADS)]
            outside = [not quantiles[i, k, 2] <= actual[k] <= quantiles[i, k, 18] for k in range(LEADS)]
            moved = feedback[row] + 0.0005 * gap * (np.mean(outside) - 0.2)
            feedback[row] = min(max(moved, -MAX_FEEDBACK), MAX_FEEDBACK)
        for k in range(LEADS):
            gain, usual = 0.0, 0.0
            for i in due:
                gap = at[i] - at[i - 1] if i else 1
                actual = np.log(series.mid[at[i] + k + 1] / series.close[at[i]])
                spread = (parts.simple[i, k] - parts.simple[i, k, ::-1]) / 2
                loss = score(spread, actual)
                usual += loss / len(due)
                gain += gap * (0.0 if parts.network is None else loss - score(parts.network[i, k], actual))
            odds = np.clip(0.02 * gain / usual if due else 0.0, -20, 20)
            shares[row, k] = 0.0 if parts.network is None else 1 / (1 + np.exp(-odds))
            simple = parts.simple[row, k]
            for q in range(len(LEVELS)):
                half = (simple[q] - simple[20 - q]) / 2
                own = half if parts.network is None else parts.network[row, k, q]
                width = shares[row, k] * own + (1 - shares[row, k]) * half
                quantiles[row, k, q] = parts.location[row, k] + np.exp(feedback[row]) * width
    return quantiles, shares, feedback


@pytest.mark.parametrize("network", [0.008, None])
@pytest.mark.parametrize("every", [1, 3, 10])
def test_shares_feedback_and_quantiles_equal_those_of_a_loop_over_outcomes(every: int, network: float | None) -> None:
    at = np.append(np.arange(60, 90 + 9 * every, every), 199)
    parts = components(at, network=network)
    found, (quantiles, shares, feedback) = combine(SERIES, at, parts), naive(SERIES, at, parts)
    np.testing.assert_allclose(found.shares, shares, atol=1e-12)
    np.testing.assert_allclose(found.feedback, feedback, atol=1e-12)
    np.testing.assert_allclose(found.quantiles, quantiles, atol=1e-12)
    assert len(set(feedback)) > 2
    np.testing.assert_array_equal(found.calibration().applied(components_from(parts, -1))[0], found.quantiles[-1])


def components_from(parts: Components, row: int) -> Components:
    rows = slice(row, None)
    return Components(parts.location[rows], parts.simple[rows], None if parts.network is None else parts.network[rows])


@pytest.mark.parametrize("t", [60, 65, 150, 198])
def test_nothing_after_an_origin_affects_it(t: int) -> None:
    at = np.arange(60, 200)
    parts, other = components(at), altered_after(SERIES, t)
    one, two = combine(SERIES, at, parts), combine(other, at, parts)
    known = at <= t
    for name in ("quantiles", "shares", "feedback"):
        np.testing.assert_array_equal(getattr(one, name)[known], getattr(two, name)[known])
    if t < 190:
        assert not np.array_equal(one.feedback, two.feedback)
    until = combine(SERIES.until(t + 1), at[known], components_until(parts, int(known.sum())))
    np.testing.assert_array_equal(until.quantiles, one.quantiles[known])


def components_until(parts: Components, count: int) -> Components:
    assert parts.network is not None
    return Components(parts.location[:count], parts.simple[:count], parts.network[:count])


@pytest.mark.parametrize(("network", "grows"), [(0.006, True), (0.1, False)])
def test_the_share_moves_towards_the_better_forecast_and_the_width_towards_right_coverage(
    network: float, grows: bool
) -> None:
    at = np.arange(60, 390)
    found = combine(SERIES, at, components(at, simple=0.03, network=network))
    np.testing.assert_allclose(found.shares[0], 1 / 2)
    assert (found.shares[-1] > 1 / 2).all() == grows
    narrow, wide = (combine(SERIES, at, components(at, simple=w, network=None)).feedback[-1] for w in (0.001, 0.1))
    assert narrow > 0 > wide
    endless = replace(SERIES, close=SERIES.close * 4)  # every outcome is far below
    assert combine(endless, np.arange(10, 390), components(np.arange(10, 390))).feedback.max() <= MAX_FEEDBACK


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-9, 0.02, 5.0]), st.sampled_from([None, 0.0, 0.02, 5.0]))
def test_quantiles_are_finite_and_never_fall(seed: int, simple: float, network: float | None) -> None:
    at = np.arange(60, 120, 4)
    found = combine(SERIES, at, components(at, simple=simple, network=network, seed=seed))
    assert np.isfinite(found.quantiles).all()
    assert (np.diff(found.quantiles, axis=-1) >= 0).all()
    assert ((found.shares >= 0) & (found.shares <= 1)).all()


def test_shares_and_feedback_stop_at_their_bounds_and_not_before() -> None:
    series, at = walk(1_200, seed=5), np.arange(100, 1_190, 5)
    absurd = combine(series, at, components(at, simple=0.012, network=0.2))
    assert absurd.shares.min() == pytest.approx(1 / (1 + np.exp(20)))
    right = combine(series, at, components(at, simple=0.5, network=0.012))
    assert 1 - right.shares.max() == pytest.approx(1 / (1 + np.exp(20)), rel=1e-6)
    narrow = combine(series, at, components(at, simple=1e-6, network=None))
    assert (narrow.feedback.max(), narrow.feedback[-1]) == (MAX_FEEDBACK, MAX_FEEDBACK)


def test_a_price_that_never_moves_leaves_the_share_unchanged() -> None:
    at = np.arange(60, 200)
    nothing = Components(np.zeros((len(at), 5)), np.zeros((len(at), 5, 21)), np.zeros((len(at), 5, 21)))
    found = combine(constant(400), at, nothing)
    np.testing.assert_allclose(found.shares, 1 / 2)
    assert found.feedback[-1] < 0, "bands that hold everything are too wide"
