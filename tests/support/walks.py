"""Generated price series and tiny settings, which keep model tests fast."""

from dataclasses import replace

import numpy as np

from stockml.prices.bars import COLUMNS
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings, Settings

SMALL = Settings(
    evaluation=EvaluationSettings(
        horizon=5, direction_step=3, test_sessions=60, validation_sessions=60
    )
)


def walk(n: int, seed: int = 0, volatility: float | np.ndarray = 0.01) -> PriceSeries:
    """`n` sessions of a geometric random walk with plausible open, high, low, close and volume."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0.0003, volatility, n)))
    opened = close * np.exp(rng.normal(0, volatility / 2, n))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, volatility / 2, n)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, volatility / 2, n)))
    sessions = np.datetime64("2001-01-01") + np.arange(n)
    return PriceSeries(sessions, opened, high, low, close, np.round(rng.lognormal(14, 0.3, n)))


def altered_after(series: PriceSeries, t: int) -> PriceSeries:
    """The series with every bar after session `t` replaced by another, more volatile one; unchanged
    up to `t`.

    The new bars start at three times the price: at ten times they would begin another segment.
    """
    other = walk(len(series), seed=99, volatility=0.05)
    times = 3 * series.close[t] / other.close[t]
    columns = [
        np.concatenate([getattr(series, c)[: t + 1], times * getattr(other, c)[t + 1 :]])
        for c in COLUMNS
    ]
    return PriceSeries(series.sessions, *columns)


def with_prices(series: PriceSeries, times: np.ndarray | float) -> PriceSeries:
    """The series with all prices multiplied by `times`, (n,) per session or a scalar."""
    return replace(series, **{name: getattr(series, name) * times for name in COLUMNS[:4]})


def constant(n: int = 1_200) -> PriceSeries:
    """A price that never moved."""
    flat = np.full(n, 12.5)
    return PriceSeries(walk(n).sessions, flat, flat, flat, flat, flat)


def begins_tenfold(n: int = 1_200, bars: int = 1) -> PriceSeries:
    """A walk whose first `bars` bars have ten times the price."""
    return with_prices(walk(n), np.where(np.arange(n) < bars, 10.0, 1.0))


def hole_of_a_year(n: int = 1_200) -> PriceSeries:
    series = walk(n)
    return replace(series, sessions=series.sessions + np.where(np.arange(n) < n // 2, 0, 365))


def turning(n: int, turn: int, seed: int = 4) -> PriceSeries:
    """A series whose moves persist until session `turn` (autocorrelation +0.6), and reverse from
    then on (-0.6)."""
    rng, moves = np.random.default_rng(seed), np.zeros(n)
    for t in range(1, n):
        moves[t] = rng.normal(0, 0.01) + (0.6 if t < turn else -0.6) * moves[t - 1]
    price = 50 * np.exp(np.cumsum(moves))
    return PriceSeries(walk(n).sessions, price, price * 1.004, price / 1.004, price, walk(n).volume)
