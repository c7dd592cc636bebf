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
from stockml.prices.series import PriceSeries
from tests.support.walks import (
    altered_after,
    begins_tenfold,
    constant,
    hole_of_a_year,
    walk,
    with_prices,
)

UNTIL = date(2005, 12, 31)
ALL = np.arange(1, 51)
Regressions = tuple[HarRegression, RidgeRegression]


def breathing(n: int, seed: int) -> PriceSeries:
    """A walk whose volatility swings slowly between half and twice its mean, so there is something
    to learn."""
    return walk(n, seed, 0.01 * np.exp(0.7 * np.sin(np.arange(n) / 60 + seed)))


def tickers(count: int = 6) -> dict[str, PriceSeries]:
    return {f"T{i}": breathing(1_400 + 40 * i, seed=i) for i in range(count)}


def fit(series: dict[str, PriceSeries], until: date = UNTIL) -> Regressions:
    pooled = HarRegression.fit(series, until)
    return pooled, RidgeRegression.fit(series, until, pooled)


@pytest.fixture(scope="module")
def fitted() -> Regressions:
    return fit(tickers())


@pytest.fixture(scope="module")
def pooled(fitted: Regressions) -> HarRegression:
    return fitted[0]


def naive_rows(
    series: PriceSeries, means: np.ndarray
) -> tuple[list[list[float]], list[float], list[float], list[int]]:
    """Terms, EWMA 60, moves at lead 10 over √10, and origins: one origin at a time."""
    seen, rows, units, found, at = Volatilities.of(series), [], [], [], []
    for t in range(60, len(series) - 50, 5):
        unit = seen.ewma_60[t]
        terms = [np.log(v / unit) for v in [*seen.range[t], seen.ewma_20[t]]]
        rows.append(
            [
                m if np.isnan(x) else min(max(x, -2.0), 2.0)
                for x, m in zip(terms, means, strict=True)
            ]
        )
        units.append(unit)
        found.append((np.log(series.close[t + 10]) - np.log(series.close[t])) / np.sqrt(10))
        at.append(t)
    return rows, units, found, at


def test_coefficients_are_those_of_least_squares_and_the_shape_is_quantiles_of_move_over_width(
    pooled: HarRegression,
) -> None:
    parts = [naive_rows(s, pooled.means) for s in tickers().values()]
    rows, units, found = (np.concatenate([part[i] for part in parts]) for i in range(3))
    design = np.column_stack([np.ones(len(rows)), rows])
    solved = np.linalg.lstsq(design, np.log(np.abs(found) / units + 0.05))[0]
    lead = LEADS.index(10)
    np.testing.assert_allclose(
        [pooled.intercepts[lead], *pooled.coefficients[lead]], solved, atol=1e-6
    )
    shape = np.quantile(found / (np.exp(design @ solved) * units), LEVELS)
    np.testing.assert_allclose(pooled.shape(REGRESSION, np.array([10]))[0], shape, atol=1e-6)
    assert pooled.origins == len(rows)
    assert pooled.sessions == sum(map(len, tickers().values()))


def test_quantiles_are_width_times_shape_and_cover_what_they_claim(pooled: HarRegression) -> None:
    unseen = breathing(3_000, seed=77)
    origins = np.arange(1_100, 2_950)
    found = pooled.quantiles(unseen, origins, ALL)
    width = pooled.widths(unseen, origins, ALL)
    np.testing.assert_allclose(found, width[..., None] * pooled.shape(REGRESSION, ALL))
    inside = moves(unseen, origins, ALL)
    assert ((found[..., 2] < inside) & (inside < found[..., -3])).mean() == pytest.approx(
        0.8, abs=0.06
    )


def test_nothing_after_until_is_learned_and_the_order_of_tickers_does_not_matter(
    fitted: Regressions,
) -> None:
    until = date(2004, 6, 30)
    last = len(walk(2_000).through(until)) - 1
    changed = {ticker: altered_after(bars, last) for ticker, bars in reversed(tickers().items())}
    pairs = zip(fit(tickers(), until), fit(changed, until), fitted, strict=True)
    for before, after, later in pairs:
        assert digest(before) == digest(after) != digest(later)
        assert before.through == until


def test_quantiles_are_the_same_at_any_price_level(pooled: HarRegression) -> None:
    plain, dear = (
        pooled.quantiles(with_prices(walk(1_300), times), np.array([200, 1_200]), ALL)
        for times in (1.0, 1_000.0)
    )
    np.testing.assert_allclose(dear, plain)


def test_odd_tickers_in_the_pool_leave_the_quantiles_finite() -> None:
    odd = {
        "FLAT": constant(),
        "TENFOLD": begins_tenfold(bars=100),
        "HOLE": hole_of_a_year(),
        "NEW": walk(100),
    }
    found = HarRegression.fit(tickers() | odd, UNTIL).quantiles(
        breathing(1_200, 5), np.arange(500, 1_200, 50), ALL
    )
    assert np.isfinite(found).all()


def test_a_hundred_sessions_are_enough_and_missing_terms_take_the_pools_means(
    pooled: HarRegression,
) -> None:
    seen, lead = Volatilities.of(walk(100)), LEADS.index(20)
    terms = np.log(np.append(seen.range[-1], seen.ewma_20[-1]) / seen.ewma_60[-1])
    filled = np.where([False, False, False, True, True, False], pooled.means, terms)
    log_ratio = pooled.intercepts[lead] + pooled.coefficients[lead] @ filled
    expected = np.exp(log_ratio) * seen.ewma_60[-1] * np.sqrt(20)
    assert pooled.widths(walk(100), np.array([99]), np.array([20]))[0, 0] == pytest.approx(expected)


def test_too_little_history_is_refused_with_the_sessions_needed_and_found(
    pooled: HarRegression,
) -> None:
    with pytest.raises(TooFewBars) as refusal:
        pooled.quantiles(walk(100), np.array([19, 50]), ALL)
    assert (refusal.value.needed, refusal.value.found) == (21, 20)
    for pool, until in (({"NEW": walk(100)}, UNTIL), (tickers(), date(1990, 1, 1))):
        with pytest.raises(TooFewBars):
            HarRegression.fit(pool, until)


def test_a_pool_too_young_for_the_long_terms_still_learns() -> None:
    young = HarRegression.fit({f"T{i}": walk(220, seed=i) for i in range(10)}, UNTIL)
    assert young.means[3:5].tolist() == [0.0, 0.0]
    assert np.isfinite(young.quantiles(walk(1_300), np.array([50, 1_250]), ALL)).all()


def known(bars: PriceSeries, ridge: RidgeRegression) -> tuple[np.ndarray, np.ndarray]:
    """Origins to learn from, and the ridge regression's inputs at them."""
    at = np.arange(60, len(bars) - 50, 5)
    standard = (input_averages(bars)[at] - ridge.means) / ridge.deviations
    return at, np.clip(np.nan_to_num(standard), -5, 5)


def test_ridge_coefficients_solve_the_normal_equations_of_the_penalised_problem(
    fitted: Regressions,
) -> None:
    (pooled, ridge), inputs, targets, leads = fitted, [], [], np.array(LEADS)
    for bars in tickers().values():
        at, standard = known(bars, ridge)
        inputs.append(standard)
        ratios = np.abs(moves(bars, at, leads)) / pooled.widths(bars, at, leads)
        targets.append(np.log(ratios + 0.05))
    x, y = np.concatenate(inputs), np.concatenate(targets)
    y = np.linalg.lstsq(lead_basis(leads), y.T)[0].T
    x_centred, y_centred = x - x.mean(axis=0), y - y.mean(axis=0)
    normal = x_centred.T @ x_centred + PENALTY * len(x) * np.eye(x.shape[1])
    np.testing.assert_allclose(
        ridge.coefficients, np.linalg.solve(normal, x_centred.T @ y_centred), atol=1e-6
    )
    assert ridge.origins == len(x) == pooled.origins


def test_ridge_widths_are_the_regressions_times_what_the_coefficients_say_and_its_shape_is_of_moves(
    fitted: Regressions,
) -> None:
    (pooled, ridge), leads, ratios = fitted, np.array(LEADS), []
    for bars in tickers().values():
        at, standard = known(bars, ridge)
        factors = np.exp(standard @ ridge.coefficients @ lead_basis(leads).T)
        widths = pooled.widths(bars, at, leads) * factors
        np.testing.assert_allclose(ridge.widths(bars, at, leads, pooled), widths)
        found = ridge.quantiles(bars, at, leads, pooled)
        np.testing.assert_allclose(found, widths[..., None] * ridge.shape)
        ratios.append(moves(bars, at, leads) / widths)
    shape = np.quantile(np.concatenate(ratios), LEVELS, axis=0).T
    np.testing.assert_allclose(ridge.shape, symmetrised(shape), atol=1e-6)


def test_leads_in_between_are_interpolated_in_ln_lead_and_leads_beyond_are_refused() -> None:
    share = np.log(4 / 3) / np.log(5 / 3)
    values = np.random.default_rng(5).normal(size=len(LEADS))
    expected = (1 - share) * values[2] + share * values[3]
    assert (hat_basis(np.array([4])) @ values)[0] == pytest.approx(expected)
    for lead in (0, 51):
        with pytest.raises(InvalidSetting):
            hat_basis(np.array([1, lead]))


def test_the_basis_of_a_width_is_legendres_polynomials_of_ln_lead() -> None:
    x = np.array([-1, 2 * np.log(10) / np.log(50) - 1, 1])
    expected = np.column_stack([x**0, x, (3 * x**2 - 1) / 2, (5 * x**3 - 3 * x) / 2])
    np.testing.assert_allclose(lead_basis(np.array([1, 10, 50])), expected)


def test_symmetrised_quantiles_have_no_location_and_keep_a_symmetric_width() -> None:
    found = symmetrised(np.array([[-1.0, 0.5, 4.0]]))
    np.testing.assert_allclose(found, [[-2.5, 0, 2.5]])
    np.testing.assert_allclose(symmetrised(found), found)
