"""Generated price series and tiny settings, so that tests of the model take moments."""

from typing import Any

import numpy as np

from stockml.prices.bars import COLUMNS
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings, NetworkSettings, Settings, TrainingSettings

SMALL = Settings(
    network=NetworkSettings(units=(4,), look_back=8),
    training=TrainingSettings(epochs=3, batch_size=64, fine_tune_epochs=2),
    evaluation=EvaluationSettings(horizon=5, direction_step=3, test_sessions=60, validation_sessions=60),
)


def small(**changes: Any) -> Settings:
    """SMALL with other network or training settings: `small(network={"cell": "gru"})`."""
    return SMALL.changed(**{part: getattr(SMALL, part).changed(**values) for part, values in changes.items()})


def walk(n: int, seed: int = 0, volatility: float = 0.01) -> PriceSeries:
    """`n` sessions of a geometric random walk with plausible open, high, low, close and volume."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0.0003, volatility, n)))
    opened = close * np.exp(rng.normal(0, volatility / 2, n))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, volatility / 2, n)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, volatility / 2, n)))
    sessions = np.datetime64("2001-01-01") + np.arange(n)
    return PriceSeries(sessions, opened, high, low, close, np.round(rng.lognormal(14, 0.3, n)))


def altered_after(series: PriceSeries, t: int) -> PriceSeries:
    """The series with every bar after session `t` replaced by another, wilder one; up to `t` it is the same."""
    other = walk(len(series), seed=99, volatility=0.05)
    columns = [np.concatenate([getattr(series, c)[: t + 1], 3 * getattr(other, c)[t + 1 :]]) for c in COLUMNS]
    return PriceSeries(series.sessions, *columns)
