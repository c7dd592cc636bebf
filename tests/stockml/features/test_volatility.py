"""Volatilities: as naive loops compute them, from nothing later than their row, and NaN where
unknown."""

import math

import numpy as np
import pytest

from stockml.features.volatility import (
    RANGE_SESSIONS,
    VOLATILITY_FLOOR,
    Volatilities,
    range_variance,
)
from tests.support.walks import constant, walk, with_prices


def test_a_sessions_variance_is_parkinsons_plus_the_squared_overnight_gap() -> None:
    series = walk(30)
    found = range_variance(series)
    for t in range(30):
        parkinson = math.log(series.high[t] / series.low[t]) ** 2 / (4 * math.log(2))
        night = math.log(series.open[t] / series.close[t - 1]) ** 2 if t else 0.0
        assert found[t] == pytest.approx(parkinson + night)


def test_range_terms_are_means_over_full_windows_only() -> None:
    series = walk(1_100)
    variance, found = range_variance(series), Volatilities.of(series).range
    for column, sessions in enumerate(RANGE_SESSIONS):
        assert np.isnan(found[: sessions - 1, column]).all()
        for t in (sessions - 1, 1_050, 1_099):
            naive = math.sqrt(sum(variance[t - sessions + 1 : t + 1]) / sessions)
            assert found[t, column] == pytest.approx(naive)


@pytest.mark.parametrize(("name", "span"), [("ewma_20", 20), ("ewma_60", 60), ("constant", None)])
def test_close_volatilities_are_weighted_means_of_squared_returns(
    name: str, span: int | None
) -> None:
    series = walk(80)
    squares = [math.log(series.close[t] / series.close[t - 1]) ** 2 for t in range(1, 80)]
    keep = 1 - 2 / (span + 1) if span else 1.0
    found = getattr(Volatilities.of(series), name)
    assert np.isnan(found[0])
    for t in (1, 2, 40, 79):
        weights = [keep**back for back in reversed(range(t))]
        naive = math.sqrt(
            sum(w * x for w, x in zip(weights, squares[:t], strict=True)) / sum(weights)
        )
        assert found[t] == pytest.approx(naive)


def test_a_halted_share_has_the_volatility_floor_everywhere() -> None:
    found = Volatilities.of(constant())
    for name in ("range", "ewma_20", "ewma_60", "constant"):
        assert (getattr(found, name)[-1] == VOLATILITY_FLOOR).all()


def test_a_calm_after_a_storm_leaves_no_rounding_below_the_floor() -> None:
    wild = with_prices(walk(40), np.where(np.arange(40) < 20, 3e6, 1.0))
    found = Volatilities.of(wild)
    assert (found.range[4:, 1] >= VOLATILITY_FLOOR).all()
