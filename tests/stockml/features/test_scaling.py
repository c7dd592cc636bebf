"""The series is kept exactly; its volatility and usual path are causal and finite."""

from pathlib import Path

import numpy as np
import pytest

from stockml.errors import InvalidFile
from stockml.features.scaling import VOLATILITY_FLOOR, ewma_volatility
from stockml.models.trend_prior import prior_path, trend
from stockml.prices.bars import COLUMNS
from stockml.prices.series import PriceSeries
from tests.support.recordings import recorded
from tests.support.walks import constant, walk


def test_read_gives_what_was_written_and_equal_series_give_equal_bytes(tmp_path: Path) -> None:
    series = walk(300)
    series.write(tmp_path / "one.parquet")
    series.write(tmp_path / "two.parquet")
    again = PriceSeries.read(tmp_path / "one.parquet")
    for name in ("sessions", *COLUMNS):
        np.testing.assert_array_equal(getattr(again, name), getattr(series, name))
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_a_bars_frame_becomes_a_series_with_mid_prices() -> None:
    bars = recorded("IBM")
    series = PriceSeries.from_bars(bars)
    assert len(series) == len(bars)
    assert series.sessions.dtype == np.dtype("datetime64[D]")
    np.testing.assert_allclose(series.mid, (bars["high"] + bars["low"]) / 2)
    assert len(series.until(10)) == 10


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    for name in ("broken.parquet", "missing.parquet"):
        with pytest.raises(InvalidFile, match=name):
            PriceSeries.read(tmp_path / name)


def test_volatility_follows_its_definition() -> None:
    series, span = walk(40), 10
    returns = np.diff(np.log(series.mid))
    decay = 1 - 2 / (span + 1)
    for t in (1, 2, 20, 39):
        weights = decay ** np.arange(t)[::-1]
        expected = np.sqrt(np.sum(weights * returns[:t] ** 2) / np.sum(weights))
        np.testing.assert_allclose(ewma_volatility(series, span)[t], expected)


def test_a_price_that_never_moved_has_the_smallest_volatility() -> None:
    assert (ewma_volatility(constant())[1:] == VOLATILITY_FLOOR).all()


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


def test_the_usual_path_starts_towards_close_and_week_and_rises_with_the_trend_but_never_falls() -> None:
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


def test_the_usual_rise_grows_with_volatility_yet_less_than_in_proportion() -> None:
    """After two years as good as each other, in units of their own swing."""
    quiet, wild = (prior_path(steady([3 * v, -v] * 250), np.array([499]), 2)[0] for v in (0.01, 0.02))
    np.testing.assert_allclose(np.diff(wild) / np.diff(quiet), 2**0.75)


def test_a_longer_series_leaves_its_past_unchanged() -> None:
    series = walk(700)
    np.testing.assert_array_equal(ewma_volatility(series)[:400], ewma_volatility(series.until(400)))
