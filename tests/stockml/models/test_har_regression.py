"""The regression: least squares, no look-ahead, and a valid distribution for any prices."""

from datetime import date

import numpy as np
import pytest

from stockml.errors import InvalidSetting, TooFewBars
from stockml.features.origins import within_segment
from stockml.features.volatility import Volatilities
from stockml.models.har_regression import REGRESSION, HarRegression
from stockml.models.lead_grid import LEADS, LEVELS, hat_basis, lead_basis, moves, symmetrised
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


def breathing(n: int, seed: int) -> PriceSeries:
    """A walk whose volatility swings slowly between half and twice its mean, so there is something
    to learn."""
    return walk(n, seed, 0.01 * np.exp(0.7 * np.sin(np.arange(n) / 60 + seed)))


def tickers(count: int = 6) -> dict[str, PriceSeries]:
    return {f"T{i}": breathing(1_400 + 40 * i, seed=i) for i in range(count)}


@pytest.fixture(scope="module")
def fitted() -> HarRegression:
    return HarRegression.fit(tickers(), UNTIL)


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
    fitted: HarRegression,
) -> None:
    parts = [naive_rows(s, fitted.means) for s in tickers().values()]
    rows, units, found = (np.concatenate([part[i] for part in parts]) for i in range(3))
    design = np.column_stack([np.ones(len(rows)), rows])
    solved = np.linalg.lstsq(design, np.log(np.abs(found) / units + 0.05))[0]
    lead = LEADS.index(10)
    np.testing.assert_allclose(
        [fitted.intercepts[lead], *fitted.coefficients[lead]], solved, atol=1e-6
    )
    shape = np.quantile(found / (np.exp(design @ solved) * units), LEVELS)
    np.testing.assert_allclose(fitted.shape(REGRESSION, np.array([10]))[0], shape, atol=1e-6)
    assert fitted.origins == len(rows)
    assert fitted.sessions == sum(map(len, tickers().values()))


def test_quantiles_are_width_times_shape_and_cover_what_they_claim(fitted: HarRegression) -> None:
    unseen = breathing(3_000, seed=77)
    origins = np.arange(1_100, 2_950)
    found = fitted.quantiles(unseen, origins, ALL)
    width = fitted.widths(unseen, origins, ALL)
    np.testing.assert_allclose(found, width[..., None] * fitted.shape(REGRESSION, ALL))
    inside = moves(unseen, origins, ALL)
    assert ((found[..., 2] < inside) & (inside < found[..., -3])).mean() == pytest.approx(
        0.8, abs=0.06
    )


def test_nothing_after_until_is_learned_from(fitted: HarRegression) -> None:
    last = int(np.searchsorted(walk(2_000).sessions, np.datetime64("2004-06-30"), side="right")) - 1
    changed = {ticker: altered_after(series, last) for ticker, series in tickers().items()}
    before, after = (HarRegression.fit(each, date(2004, 6, 30)) for each in (tickers(), changed))
    assert digest(before) == digest(after)
    assert before.through == date(2004, 6, 30)
    assert digest(before) != digest(fitted)


def test_no_origin_sees_a_later_bar(fitted: HarRegression) -> None:
    series = walk(1_300)
    for t in (30, 100, 1_100):
        same = fitted.quantiles(altered_after(series, t), np.array([t]), ALL)
        np.testing.assert_array_equal(same, fitted.quantiles(series, np.array([t]), ALL))


def test_equal_bars_give_equal_values_in_any_order_and_at_any_price_level(
    fitted: HarRegression,
) -> None:
    assert digest(HarRegression.fit(dict(reversed(tickers().items())), UNTIL)) == digest(fitted)
    origins = np.array([200, 1_200])
    dear = with_prices(walk(1_300), 1_000.0)
    np.testing.assert_allclose(
        fitted.quantiles(dear, origins, ALL), fitted.quantiles(walk(1_300), origins, ALL)
    )


@pytest.mark.parametrize(
    "series", [constant(), begins_tenfold(bars=100), hole_of_a_year(), walk(100)]
)
def test_quantiles_are_finite_and_never_fall_whatever_the_prices(
    fitted: HarRegression, series: PriceSeries
) -> None:
    origins = within_segment(series, np.arange(20, len(series)), 0)
    found = fitted.quantiles(series, origins, ALL)
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=-1) >= 0).all()
    assert (fitted.widths(series, origins, ALL) > 0).all()


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
    fitted: HarRegression,
) -> None:
    seen, lead = Volatilities.of(walk(100)), LEADS.index(20)
    terms = np.log(np.append(seen.range[-1], seen.ewma_20[-1]) / seen.ewma_60[-1])
    filled = np.where([False, False, False, True, True, False], fitted.means, terms)
    log_ratio = fitted.intercepts[lead] + fitted.coefficients[lead] @ filled
    expected = np.exp(log_ratio) * seen.ewma_60[-1] * np.sqrt(20)
    assert fitted.widths(walk(100), np.array([99]), np.array([20]))[0, 0] == pytest.approx(expected)


def test_too_little_history_is_refused_with_the_sessions_needed_and_found(
    fitted: HarRegression,
) -> None:
    with pytest.raises(TooFewBars) as refusal:
        fitted.quantiles(walk(100), np.array([19, 50]), ALL)
    assert (refusal.value.needed, refusal.value.found) == (21, 20)
    for pool, until in (({"NEW": walk(100)}, UNTIL), (tickers(), date(1990, 1, 1))):
        with pytest.raises(TooFewBars):
            HarRegression.fit(pool, until)


def test_a_pool_too_young_for_the_long_terms_still_learns() -> None:
    young = HarRegression.fit({f"T{i}": walk(220, seed=i) for i in range(10)}, UNTIL)
    assert young.means[3:5].tolist() == [0.0, 0.0]
    assert np.isfinite(young.quantiles(walk(1_300), np.array([50, 1_250]), ALL)).all()


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
