"""A ticker's adjusted series as arrays: what a model sees, and nothing later than its last
session."""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from stockml.errors import InvalidFile
from stockml.prices.bars import COLUMNS
from stockml.storage.arrays import Days, Floats
from stockml.storage.files import write_atomically


@dataclass(frozen=True, eq=False)
class PriceSeries:
    """Split-adjusted bars as arrays: sessions (n,) datetime64[D] ascending, prices and volume (n,)
    float64."""

    sessions: Days
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    _full: ClassVar["PriceSeries | None"] = (
        None  # the series that `until` cut this from; `replace` drops it
    )

    @classmethod
    def from_bars(cls, bars: pd.DataFrame) -> "PriceSeries":
        """From a frame with sessions as DatetimeIndex; columns open, high, low, close, volume.
        Raises TypeError."""
        if not isinstance(bars.index, pd.DatetimeIndex):  # row numbers would be days since 1970
            raise TypeError(
                f"expected bars with sessions as DatetimeIndex, found {type(bars.index).__name__}"
            )
        prices = {name: bars[name].to_numpy(dtype=np.float64, copy=True) for name in COLUMNS}
        return cls(sessions=bars.index.to_numpy().astype("datetime64[D]"), **prices)

    def __len__(self) -> int:
        return len(self.sessions)

    @property
    def mid(self) -> Floats:
        """(n,) mid prices, (high + low) / 2: what the tutorial forecasts."""
        return (self.high + self.low) / 2

    @property
    def whole(self) -> "PriceSeries":
        """The series that `until` cut this from, or itself; only for what looks at no later
        session."""
        return self if self._full is None else self._full

    def until(self, n: int) -> "PriceSeries":
        """The first `n` sessions: the series as it stood after the close of session n - 1."""
        return self.between(0, n)

    def through(self, day: date | np.datetime64) -> "PriceSeries":
        """The series as it stood after the close of `day`, a session or not."""
        return self.until(int(np.searchsorted(self.sessions, np.datetime64(day), side="right")))

    def between(self, start: int, stop: int) -> "PriceSeries":
        """The sessions from `start` up to but not including `stop`; where these are all, the series
        itself."""
        if start == 0 and stop >= len(self):
            return self  # what is cached by identity need not be computed again
        part = slice(start, stop)
        series = PriceSeries(self.sessions[part], *(getattr(self, name)[part] for name in COLUMNS))
        if start == 0:
            object.__setattr__(series, "_full", self.whole)
        return series

    def write(self, path: Path) -> None:
        """Write as Parquet, atomically; equal series give equal bytes."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = [self.sessions, *(getattr(self, name) for name in COLUMNS)]
        content = BytesIO()
        pq.write_table(pa.table(columns, names=["session", *COLUMNS]), content, compression="zstd")
        write_atomically(path, content.getvalue())

    @classmethod
    def read(cls, path: Path) -> "PriceSeries":
        """Read what `write` wrote: a read-only series, cached while the file is unchanged. Raises
        InvalidFile."""
        try:
            stat = path.stat()
            return _read(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        except (OSError, KeyError, ValueError) as error:
            raise InvalidFile(
                str(path), f"expected a price series in Parquet, found {error}"
            ) from error


@lru_cache(maxsize=1)  # a process does one night at a time
def _read(path: Path, *version: int) -> PriceSeries:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns = [table[name].to_numpy() for name in ("session", *COLUMNS)]
    for column in columns:
        column.flags.writeable = False
    return PriceSeries(*columns)
