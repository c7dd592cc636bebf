"""A ticker's adjusted series as the model sees it, and its causal scaling.

Nothing here looks ahead: row t of every returned array depends on sessions up to t only, so a longer series leaves
its past unchanged.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stockml.errors import InvalidFile
from stockml.receipts import write_atomically

Floats = NDArray[np.float64]
COLUMNS = ("open", "high", "low", "close", "volume")
VOLATILITY_FLOOR = 1e-4  # a halted share has no variance; its returns must still divide
USUAL_VOLATILITY = 0.015
USUAL_RISE = 0.0003  # log return a session at the usual volatility, 8 % a year; found by walking forward
RISE_POWER = 0.75  # 0 would be the same rise for every share, 1 the same return for each unit of risk
CLOSE_SHARE = 0.75  # of the way from the mid to the close, which was traded last, is gone at once
RETURN_SHARE = 0.15  # of the way back to the mean of the newest week is gone at once
PAST_YEAR = (250, 20)  # sessions back: the newest month, which tends to turn round, is left out of the year
FEATURES = ("return", "close gap", "range", "distance 5", "distance 20", "distance 60", "distance 250")


@dataclass(frozen=True, eq=False)
class PriceSeries:
    """Split-adjusted bars as arrays: sessions (n,) datetime64[D] ascending, prices and volume (n,) float64."""

    sessions: NDArray[np.datetime64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    @classmethod
    def from_bars(cls, bars: pd.DataFrame) -> "PriceSeries":
        """From a Bars frame: DatetimeIndex of sessions; columns open, high, low, close, volume."""
        prices = {name: bars[name].to_numpy(dtype=np.float64, copy=True) for name in COLUMNS}
        return cls(sessions=bars.index.to_numpy().astype("datetime64[D]"), **prices)

    def __len__(self) -> int:
        return len(self.sessions)

    @property
    def mid(self) -> Floats:
        """(n,) mid prices, (high + low) / 2: what is modelled."""
        return (self.high + self.low) / 2

    def until(self, n: int) -> "PriceSeries":
        """The first `n` sessions: the series as it stood after the close of session n - 1."""
        return PriceSeries(self.sessions[:n], *(getattr(self, name)[:n] for name in COLUMNS))

    def write(self, path: Path) -> None:
        """Write as Parquet, atomically; equal series give equal bytes."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {"session": pa.array(self.sessions.astype("datetime64[D]"), type=pa.date32())}
        columns |= {name: pa.array(getattr(self, name), type=pa.float64()) for name in COLUMNS}
        content = BytesIO()
        pq.write_table(pa.table(columns), content, compression="zstd")
        write_atomically(path, content.getvalue())

    @classmethod
    def read(cls, path: Path) -> "PriceSeries":
        """What `write` wrote. Raises InvalidFile when the file is missing or is not such a series."""
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
            sessions = table["session"].to_numpy().astype("datetime64[D]")
            return cls(sessions, *(table[name].to_numpy().astype(np.float64) for name in COLUMNS))
        except (OSError, KeyError, ValueError) as error:
            raise InvalidFile(str(path), f"expected a price series in Parquet, found {error}") from error


def volatility(series: PriceSeries, sessions: int = 60) -> Floats:
    """(n,) trailing daily volatility of the log mid price, exponentially weighted with span `sessions`.

    Row t sees sessions up to t; the very first has no return yet and gets the usual volatility of any share. The floor
    keeps a halted share divisible.
    """
    squares = pd.Series(_returns(np.log(series.mid)) ** 2)
    squares.iloc[:1] = np.nan
    variance = squares.ewm(span=sessions, min_periods=1).mean().fillna(USUAL_VOLATILITY**2)
    return np.asarray(np.maximum(np.sqrt(variance.to_numpy()), VOLATILITY_FLOOR), dtype=np.float64)


def usual_path(series: PriceSeries, at: NDArray[np.int64], horizon: int) -> Floats:
    """(m, horizon): the log move after each origin that is expected of any share, whatever its own drift.

    It starts between the mid, the close and the newest week's mean, and rises the faster the more the share swings, and
    with its trend: not at all after a bad year, twice as fast after a good one; it never falls. A ticker's own drift
    over more than a year is left out: it says less about its next years than this does.
    """
    mid = np.log(series.mid)
    start = CLOSE_SHARE * (np.log(series.close) - mid) + RETURN_SHARE * (_trailing_mean(mid, 5) - mid)
    rise = USUAL_RISE * (volatility(series) / USUAL_VOLATILITY) ** RISE_POWER * (1 + trend(series))
    return np.asarray(start[at, None] + rise[at, None] * np.arange(1, horizon + 1), dtype=np.float64)


def trend(series: PriceSeries) -> Floats:
    """(n,) how good the past year was, from -1 to 1: its log return, but for the newest month, over its usual swing.

    The swing is that of a random walk of today's volatility. A share without a year of history counts from its first
    session; without a month of it, it has no trend.
    """
    mid, n = np.log(series.mid), np.arange(len(series))
    oldest, newest = (np.maximum(n - back, 0) for back in PAST_YEAR)
    swing = volatility(series) * np.sqrt(PAST_YEAR[0] - PAST_YEAR[1])
    return np.asarray(np.clip((mid[newest] - mid[oldest]) / swing, -1.0, 1.0), dtype=np.float64)


def features(series: PriceSeries) -> Floats:
    """(n, len(FEATURES)) causal inputs in units of trailing volatility.

    The session's return, how far the close is from the mid, the session's range, and how far the mid is from its
    means of 5, 20, 60 and 250 sessions.
    """
    mid = np.log(series.mid)
    columns = [_returns(mid), np.log(series.close) - mid, np.log(series.high) - np.log(series.low)]
    columns += [(mid - _trailing_mean(mid, length)) / np.sqrt(length) for length in (5, 20, 60, 250)]
    return np.stack(columns, axis=1) / volatility(series)[:, None]


@dataclass(frozen=True, eq=False)
class Scale:
    """Mean and deviation of each feature, and the volatility at the end, learned once and applied to anything.

    mean, deviation: (features,). volatility: median daily volatility of the last 60 sessions it was fitted on.
    """

    mean: Floats
    deviation: Floats
    volatility: float

    @classmethod
    def fit(cls, series: PriceSeries) -> "Scale":
        """Learn from a series that ends where the training part ends."""
        rows = features(series)
        deviation = np.maximum(rows.std(axis=0), 1e-6)
        return cls(rows.mean(axis=0), deviation, _recent_volatility(series))

    def apply(self, rows: Floats) -> NDArray[np.float32]:
        """(n, features) standardised; beyond 5 deviations it is cut, so that no outlier leads the network astray."""
        standard = (rows - self.mean) / self.deviation
        return np.clip(standard, -5.0, 5.0).astype(np.float32)

    def drift(self, series: PriceSeries) -> float:
        """By what factor the volatility has changed since this was learned, at least 1, whichever the direction."""
        ratio = _recent_volatility(series) / self.volatility
        return max(ratio, 1 / ratio)

    def asdict(self) -> dict[str, Any]:
        return {"mean": self.mean.tolist(), "deviation": self.deviation.tolist(), "volatility": self.volatility}

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> "Scale":
        return cls(np.asarray(kept["mean"]), np.asarray(kept["deviation"]), float(kept["volatility"]))


def _recent_volatility(series: PriceSeries) -> float:
    return float(np.median(volatility(series)[-60:]))


def _returns(log_mid: Floats) -> Floats:
    return np.diff(log_mid, prepend=log_mid[:1])


def _trailing_mean(values: Floats, length: int) -> Floats:
    return np.asarray(pd.Series(values).rolling(length, min_periods=1).mean().to_numpy(), dtype=np.float64)
