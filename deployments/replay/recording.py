"""Recorded real prices, which the replay feed serves and tests compare with.

Source: the package `bokeh-sampledata`, raw daily bars as traded on the New York exchanges, 2000-03-01 to 2013-03-01,
for AAPL, FB, GOOG, IBM and MSFT. Prices are unadjusted: a split is a jump.
"""

import csv
import gzip
from collections import defaultdict
from datetime import date
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from deployments.errors import NotRecorded


class RecordedRow(NamedTuple):
    """One recorded session: prices in dollars as traded, volume in shares."""

    session: date
    open: float
    high: float
    low: float
    close: float
    volume: int


class RecordedSplit(NamedTuple):
    """`factor` new shares for one old share; `effective` is the first session at the new price."""

    effective: date
    factor: float


_SPLITS = {
    "AAPL": (RecordedSplit(date(2000, 6, 21), 2.0), RecordedSplit(date(2005, 2, 28), 2.0)),
    "MSFT": (RecordedSplit(date(2003, 2, 18), 2.0),),
}


@cache
def _recording() -> dict[str, tuple[RecordedRow, ...]]:
    rows = defaultdict[str, list[RecordedRow]](list)
    packed = files("bokeh_sampledata").joinpath("_data", "stocks.csv.gz").read_bytes()
    _, *lines = csv.reader(gzip.decompress(packed).decode().splitlines())
    for symbol, day, *prices, volume, _ in lines:
        open_, high, low, close = map(float, prices)
        rows[symbol].append(RecordedRow(date.fromisoformat(day), open_, high, low, close, int(volume)))
    return {symbol: tuple(sorted(of_symbol)) for symbol, of_symbol in rows.items()}


def symbols() -> tuple[str, ...]:
    return tuple(sorted(_recording()))


def recorded_rows(symbol: str) -> tuple[RecordedRow, ...]:
    """All recorded sessions of `symbol`, oldest first. Raises NotRecorded."""
    try:
        return _recording()[symbol]
    except KeyError:
        raise NotRecorded(symbol, symbols()) from None


def recorded_splits(symbol: str) -> tuple[RecordedSplit, ...]:
    return _SPLITS.get(symbol, ())
