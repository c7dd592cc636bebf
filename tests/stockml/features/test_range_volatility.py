"""Volatilities: what the formulas say by loop, nothing later than their row, NaN and not a guess where unknown."""

import math

import numpy as np
import pytest

from stockml.features.range_volatility import (
    RANGE_SESSIONS,
    VOLATILITY_FLOOR,
    Volatilities,
    ewma_volatility,
    range_variance,
)
from stockml.prices.bars import COLUMNS
from stockml.prices.series import PriceSeries
from tests.support.walks import altered_after, constant, walk

ARRAYS = ("range", "ewma_20", "ewma_60", "constant", "return_count")


def edited(series: PriceSeries, factor: np.ndarray) -> PriceSeries:
    prices = [getattr(series, name) * factor for name in COLUMNS[:4]]
    return PriceSeries(series.sessions, *prices, series.volume)


def test_each_sessions_variance_is_parkinsons_and_the_night_before_it() -> None:
    series = walk(30)
    found = range_variance(series)
    for t in range(30):
        parkinson = math.log(series.high[t] / series.low[t]) ** 2 / (4 * math.log(2))
        night = math.log(series.open[t] / series.close[t - 1]) ** 2 if t else 0.0
        assert found[t] == pytest.approx(parkinson + night)


def test_terms_are_means_of_full_windows_only() -> None:
    series = walk(1_100)
    variance, found = range_variance(series), Volatilities.of(series).range
    for column, sessions in enumerate(RANGE_SESSIONS):
        assert np.isnan(found[: sessions - 1, column]).all()
        for t in (sessions - 1, 1_050, 1_099):
            naive = math.sqrt(sum(variance[t - sessions + 1 : t + 1]) / sessions)
            assert found[t, column] == pytest.approx(naive)


@pytest.mark.parametrize(("name", "span"), [("ewma_20", 20), ("ewma_60", 60), ("constant", None)])
def test_weighted_means_of_squared_close_returns(name: str, span: int | None) -> None:
    series = walk(80)
    squares = [math.log(series.close[t] / series.close[t - 1]) ** 2 for t in range(1, 80)]
    keep = 1 - 2 / (span + 1) if span else 1.0
    found = getattr(Volatilities.of(series), name)
    assert np.isnan(found[0])
    for t in (1, 2, 40, 79):
        weights = [keep**back for back in reversed(range(t))]
        naive = math.sqrt(sum(w * x for w, x in zip(weights, squares[:t], strict=True)) / sum(weights))
        assert found[t] == pytest.approx(naive)


@pytest.mark.parametrize("t", [0, 1, 40, 250, 1_005])
def test_no_row_sees_a_later_bar(t: int) -> None:
    series = walk(1_030)
    before, after = Volatilities.of(series), Volatilities.of(altered_after(series, t))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(before, name)[: t + 1], getattr(after, name)[: t + 1])


def test_a_halted_share_has_the_floor_everywhere() -> None:
    flat = np.full(1_010, 20.0)
    sessions = np.datetime64("2001-01-01") + np.arange(1_010)
    found = Volatilities.of(PriceSeries(sessions, flat, flat, flat, flat, flat))
    for name in ARRAYS[:4]:
        last = np.atleast_1d(getattr(found, name)[-1])
        np.testing.assert_array_equal(last, np.full(last.shape, VOLATILITY_FLOOR))


def test_a_calm_after_a_storm_leaves_no_rounding_below_the_floor() -> None:
    wild = edited(walk(40), np.where(np.arange(40) < 20, 1e6, 1.0))
    found = Volatilities.of(wild)
    assert (found.range[4:, 1] >= VOLATILITY_FLOOR).all()


def test_the_volatility_of_the_mid_price_follows_its_definition() -> None:
    series = walk(40)
    returns = np.diff(np.log(series.mid))
    decay = 1 - 2 / (60 + 1)
    for t in (1, 2, 20, 39):
        weights = decay ** np.arange(t)[::-1]
        expected = np.sqrt(np.sum(weights * returns[:t] ** 2) / np.sum(weights))
        np.testing.assert_allclose(ewma_volatility(series)[t], expected)


def test_a_price_that_never_moved_has_the_smallest_volatility() -> None:
    assert (ewma_volatility(constant())[1:] == VOLATILITY_FLOOR).all()


def test_a_longer_series_leaves_the_past_of_its_mid_price_unchanged() -> None:
    series = walk(700)
    np.testing.assert_array_equal(ewma_volatility(series)[:400], ewma_volatility(series.until(400)))
