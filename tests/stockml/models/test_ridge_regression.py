"""The ridge regression: penalised least squares on averages of inputs, valid for any prices, never
ahead."""

from datetime import date

import numpy as np
import pytest

from stockml.features.origins import within_segment
from stockml.features.volatility import (
    input_averages,
)
from stockml.models.har_regression import HarRegression
from stockml.models.lead_grid import LEADS, LEVELS, lead_basis, moves, symmetrised
from stockml.models.ridge_regression import PENALTY, RidgeRegression
from stockml.models.vintage_store import digest
from stockml.prices.series import PriceSeries
from tests.stockml.models.test_har_regression import ALL, UNTIL, tickers
from tests.support.walks import altered_after, begins_tenfold, constant, hole_of_a_year, walk

Regressions = tuple[HarRegression, RidgeRegression]


def fit(series: dict[str, PriceSeries], until: date = UNTIL) -> Regressions:
    pooled = HarRegression.fit(series, until)
    return pooled, RidgeRegression.fit(series, until, pooled)


@pytest.fixture(scope="module")
def fitted() -> Regressions:
    return fit(tickers())


def test_coefficients_solve_the_normal_equations_of_the_penalised_problem(
    fitted: Regressions,
) -> None:
    pooled, ridge = fitted
    inputs, targets, leads = [], [], np.array(LEADS)
    for bars in tickers().values():
        at = np.arange(60, len(bars) - 50, 5)
        known = input_averages(bars)[at]
        inputs.append(np.clip(np.nan_to_num((known - ridge.means) / ridge.deviations), -5, 5))
        targets.append(
            np.log(np.abs(moves(bars, at, leads)) / pooled.widths(bars, at, leads) + 0.05)
        )
    x, y = np.concatenate(inputs), np.concatenate(targets)
    y = np.linalg.lstsq(lead_basis(leads), y.T)[0].T
    x_centred, y_centred = x - x.mean(axis=0), y - y.mean(axis=0)
    normal = x_centred.T @ x_centred + PENALTY * len(x) * np.eye(x.shape[1])
    np.testing.assert_allclose(
        ridge.coefficients, np.linalg.solve(normal, x_centred.T @ y_centred), atol=1e-6
    )
    assert ridge.origins == len(x) == pooled.origins


def test_widths_are_the_ones_times_what_the_coefficients_say_and_the_shape_is_of_moves_over_them(
    fitted: Regressions,
) -> None:
    (pooled, ridge), leads, ratios = fitted, np.array(LEADS), []
    for bars in tickers().values():
        at = np.arange(60, len(bars) - 50, 5)
        inputs = np.clip(
            np.nan_to_num((input_averages(bars)[at] - ridge.means) / ridge.deviations), -5, 5
        )
        widths = pooled.widths(bars, at, leads) * np.exp(
            inputs @ ridge.coefficients @ lead_basis(leads).T
        )
        np.testing.assert_allclose(ridge.widths(bars, at, leads, pooled), widths)
        np.testing.assert_allclose(
            ridge.quantiles(bars, at, leads, pooled), widths[..., None] * ridge.shape
        )
        ratios.append(moves(bars, at, leads) / widths)
    shape = np.quantile(np.concatenate(ratios), LEVELS, axis=0).T
    np.testing.assert_allclose(ridge.shape, symmetrised(shape), atol=1e-6)


@pytest.mark.parametrize("series", [constant(), begins_tenfold(bars=100), hole_of_a_year()])
def test_quantiles_are_finite_and_rise_whatever_the_prices(
    fitted: Regressions, series: PriceSeries
) -> None:
    origins = within_segment(series, np.arange(20, len(series)), 0)
    found = fitted[1].quantiles(series, origins, ALL, fitted[0])
    assert found.shape == (len(origins), 50, len(LEVELS))
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=-1) > 0).all()
    np.testing.assert_array_equal(found, symmetrised(found))
    changed = np.log(
        fitted[1].widths(series, origins, ALL, fitted[0]) / fitted[0].widths(series, origins, ALL)
    )
    assert np.abs(changed).max() <= 2 + 1e-9


def test_no_origin_sees_a_later_bar(fitted: Regressions) -> None:
    series = walk(1_300)
    for t in (30, 700):
        plain, same = (
            fitted[1].quantiles(bars, np.array([t]), ALL, fitted[0])
            for bars in (series, altered_after(series, t))
        )
        np.testing.assert_array_equal(same, plain)


def test_nothing_after_until_is_learned_and_the_order_of_tickers_does_not_matter(
    fitted: Regressions,
) -> None:
    last = int(np.searchsorted(walk(2_000).sessions, np.datetime64("2004-06-30"), side="right")) - 1
    changed = {
        ticker: altered_after(series, last) for ticker, series in reversed(tickers().items())
    }
    before, after = (fit(each, date(2004, 6, 30))[1] for each in (tickers(), changed))
    assert digest(before) == digest(after) != digest(fitted[1])
    assert before.through == date(2004, 6, 30)
