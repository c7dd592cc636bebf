"""The usual path follows its definition; a share's own trend leaves the newest month out."""

import numpy as np

from stockml.features.range_volatility import ewma_volatility
from stockml.models.trend_prior import prior_path, trend
from stockml.prices.series import PriceSeries
from tests.support.walks import walk


def steady(rises: list[float]) -> PriceSeries:
    """Bars without a range that move by these log returns."""
    price = np.exp(np.cumsum(rises))
    return PriceSeries(np.datetime64("2001-01-01") + np.arange(len(price)), price, price, price, price, price)


def test_the_trend_follows_its_definition_and_leaves_the_newest_month_out() -> None:
    series = walk(600, volatility=0.02)
    mid, swing = np.log(series.mid), ewma_volatility(series) * np.sqrt(230)
    for t in (250, 251, 400, 599):
        expected = np.clip((mid[t - 20] - mid[t - 250]) / swing[t], -1, 1)
        np.testing.assert_allclose(trend(series)[t], expected)
    assert (trend(series)[:21] == 0).all()
    fell_last_month = steady([0.01, -0.009] * 140 + [-0.01] * 20)
    assert trend(fell_last_month)[-1] > 0


def test_the_usual_path_starts_towards_close_and_weekly_mean_then_rises_or_stays_level() -> None:
    series = walk(2000, volatility=0.02)
    at = np.arange(250, 2000)
    path = prior_path(series, at, 10)
    rises = np.diff(path, axis=1)
    np.testing.assert_allclose(rises, rises[:, :1] * np.ones((1, 9)), atol=1e-12)
    mid = np.log(series.mid)
    to_close, to_week = np.log(series.close[at]) - mid[at], [mid[t - 4 : t + 1].mean() - mid[t] for t in at]
    np.testing.assert_allclose(path[:, 0] - rises[:, 0], 0.75 * to_close + 0.15 * np.array(to_week), atol=1e-12)
    strength = trend(series)[at]
    np.testing.assert_allclose(rises[strength == -1], 0, atol=1e-12)
    assert (rises[strength > -1] > 0).all()
    assert {-1.0, 1.0} <= set(strength)


def test_the_usual_rise_grows_with_volatility_but_less_than_proportionally() -> None:
    """Both have risen for two years, equally in units of their own volatility."""
    quiet, wild = (prior_path(steady([3 * v, -v] * 250), np.array([499]), 2)[0] for v in (0.01, 0.02))
    np.testing.assert_allclose(np.diff(wild) / np.diff(quiet), 2**0.75)
