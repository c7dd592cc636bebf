"""Both regressions: (penalised) least squares, from nothing after the day; and the grid of leads.

That their distributions are valid for any prices and never ahead, the network that corrects them
shows (test_pretrained_network.py).
"""

from datetime import date

import numpy as np
import pytest

from stockml.errors import InvalidSetting, TooFewBars
from stockml.features.volatility import Volatilities, input_averages
from stockml.models.regressions import (
    LEADS,
    LEVELS,
    PENALTY,
    REGRESSION,
    HarRegression,
    RidgeRegression,
    hat_basis,
    lead_basis,
    moves,
    symmetrised,
)
from stockml.models.vintage_store import digest
from tests.support.walks import (
    altered_after,
    begins_tenfold,
    constant,
    hole_of_a_year,
    walk,
)

UNTIL = date(2005, 12, 31)
ALL = np.arange(1, 51)
Regressions = tuple[HarRegression, RidgeRegression]


def breathing(n, seed):
    """A walk whose volatility swings slowly between half and twice its mean, so there is something
    to learn."""
    return walk(n, seed, 0.01 * np.exp(0.7 * np.sin(np.arange(n) / 60 + seed)))


def tickers(count=6):
    return {f"T{i}": breathing(1_400 + 40 * i, seed=i) for i in range(count)}


def fit(series, until=UNTIL):
    pooled = HarRegression.fit(series, until)
    return pooled, RidgeRegression.fit(series, until, pooled)


@pytest.fixture(scope="module")
def fitted():
    return fit(tickers())


@pytest.fixture(scope="module")
def pooled(fitted):
    return fitted[0]


def test_coefficients_are_those_of_least_squares_and_the_shape_is_quantiles_of_move_over_width(
    pooled,
):
    rows = []  # EWMA 60, move at lead 10 over √10, and terms: one origin at a time
    for bars in tickers().values():
        seen = Volatilities.of(bars)
        for t in range(60, len(bars) - 50, 5):
            unit, move = seen.ewma_60[t], np.log(bars.close[t + 10] / bars.close[t])
            terms = np.clip(np.log(np.append(seen.range[t], seen.ewma_20[t]) / unit), -2, 2)
            terms = np.where(np.isnan(terms), pooled.means, terms)
            rows.append([unit, move / np.sqrt(10), *terms])
    rows = np.array(rows)
    units, found = rows[:, :2].T
    design = np.column_stack([np.ones(len(rows)), rows[:, 2:]])
    solved = np.linalg.lstsq(design, np.log(np.abs(found) / units + 0.05))[0]
    lead = LEADS.index(10)
    fitted = [pooled.intercepts[lead], *pooled.coefficients[lead]]
    np.testing.assert_allclose(fitted, solved, atol=1e-6)
    shape = np.quantile(found / (np.exp(design @ solved) * units), LEVELS)
    np.testing.assert_allclose(pooled.shape(REGRESSION, np.array([10]))[0], shape, atol=1e-6)
    assert pooled.origins == len(rows)
    assert pooled.sessions == sum(map(len, tickers().values()))


def test_quantiles_cover_what_they_claim(pooled):
    unseen, origins = breathing(3_000, seed=77), np.arange(1_100, 2_950)
    found, moved = pooled.quantiles(unseen, origins, ALL), moves(unseen, origins, ALL)
    inside = (found[..., 2] < moved) & (moved < found[..., -3])
    assert inside.mean() == pytest.approx(0.8, abs=0.06)


def test_nothing_after_until_is_learned_and_the_order_of_tickers_does_not_matter(fitted):
    until = date(2004, 6, 30)
    last = len(walk(2_000).through(until)) - 1
    changed = {ticker: altered_after(bars, last) for ticker, bars in reversed(tickers().items())}
    pairs = zip(fit(tickers(), until), fit(changed, until), fitted, strict=True)
    for before, after, later in pairs:
        assert digest(before) == digest(after) != digest(later)
        assert before.through == until


def test_odd_tickers_in_the_pool_leave_the_quantiles_finite():
    odd = {"FLAT": constant(), "TENFOLD": begins_tenfold(bars=100), "HOLE": hole_of_a_year()}
    odd["NEW"] = walk(100)
    learned = HarRegression.fit(tickers() | odd, UNTIL)
    found = learned.quantiles(breathing(1_200, 5), np.arange(500, 1_200, 50), ALL)
    assert np.isfinite(found).all()


def test_a_hundred_sessions_are_enough_and_missing_terms_take_the_pools_means(pooled):
    seen, lead = Volatilities.of(walk(100)), LEADS.index(20)
    terms = np.log(np.append(seen.range[-1], seen.ewma_20[-1]) / seen.ewma_60[-1])
    filled = np.where([False, False, False, True, True, False], pooled.means, terms)
    log_ratio = pooled.intercepts[lead] + pooled.coefficients[lead] @ filled
    expected = np.exp(log_ratio) * seen.ewma_60[-1] * np.sqrt(20)
    assert pooled.widths(walk(100), np.array([99]), np.array([20]))[0, 0] == pytest.approx(expected)


def test_too_little_history_is_refused_with_the_sessions_needed_and_found(pooled):
    with pytest.raises(TooFewBars) as refusal:
        pooled.quantiles(walk(100), np.array([19, 50]), ALL)
    assert (refusal.value.needed, refusal.value.found) == (21, 20)
    for pool, until in (({"NEW": walk(100)}, UNTIL), (tickers(), date(1990, 1, 1))):
        with pytest.raises(TooFewBars):
            HarRegression.fit(pool, until)


def test_a_pool_too_young_for_the_long_terms_still_learns():
    young = HarRegression.fit({f"T{i}": walk(220, seed=i) for i in range(10)}, UNTIL)
    assert young.means[3:5].tolist() == [0.0, 0.0]
    assert np.isfinite(young.quantiles(walk(1_300), np.array([50, 1_250]), ALL)).all()


def test_the_ridge_regression_solves_the_penalised_problem_and_its_coefficients_change_the_width(
    fitted,
):
    (pooled, ridge), leads, inputs, targets, ratios = fitted, np.array(LEADS), [], [], []
    for bars in tickers().values():
        at = np.arange(60, len(bars) - 50, 5)
        standard = np.nan_to_num((input_averages(bars)[at] - ridge.means) / ridge.deviations)
        standard = np.clip(standard, -5, 5)
        moved, width = moves(bars, at, leads), pooled.widths(bars, at, leads)
        inputs += [*standard]
        targets += [*np.log(np.abs(moved) / width + 0.05)]
        width *= np.exp(standard @ ridge.coefficients @ lead_basis(leads).T)
        ratios += [*(moved / width)]
        np.testing.assert_allclose(ridge.widths(bars, at, leads, pooled), width)
        found = ridge.quantiles(bars, at, leads, pooled)
        np.testing.assert_allclose(found, width[..., None] * ridge.shape)
    y = np.linalg.lstsq(lead_basis(leads), np.transpose(targets))[0].T
    x, y = inputs - np.mean(inputs, axis=0), y - y.mean(axis=0)
    normal = x.T @ x + PENALTY * len(x) * np.eye(x.shape[1])  # the normal equations
    np.testing.assert_allclose(ridge.coefficients, np.linalg.solve(normal, x.T @ y), atol=1e-6)
    shape = np.quantile(ratios, LEVELS, axis=0).T
    np.testing.assert_allclose(ridge.shape, symmetrised(shape), atol=1e-6)
    assert ridge.origins == len(x) == pooled.origins


def test_leads_in_between_are_interpolated_in_ln_lead_and_leads_beyond_are_refused():
    share = np.log(4 / 3) / np.log(5 / 3)
    values = np.random.default_rng(5).normal(size=len(LEADS))
    expected = (1 - share) * values[2] + share * values[3]
    assert (hat_basis(np.array([4])) @ values)[0] == pytest.approx(expected)
    for lead in (0, 51):
        with pytest.raises(InvalidSetting):
            hat_basis(np.array([1, lead]))


def test_the_basis_of_a_width_is_legendres_polynomials_of_ln_lead():
    x = np.array([-1, 2 * np.log(10) / np.log(50) - 1, 1])
    expected = np.column_stack([x**0, x, (3 * x**2 - 1) / 2, (5 * x**3 - 3 * x) / 2])
    np.testing.assert_allclose(lead_basis(np.array([1, 10, 50])), expected)
