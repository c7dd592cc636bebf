"""The recorded prices of bokeh-sampledata as raw bars, for tests."""

from functools import cache
from importlib.resources import files

import pandas as pd

from deployments.replay.recording import recorded_rows
from stockml.prices.bars import COLUMNS, Bars, make_bars


@cache
def recorded(symbol: str) -> Bars:
    """Raw bars as traded of AAPL, FB, GOOG, IBM or MSFT, up to 2013-03-01. Cached: do not modify in place."""
    table = pd.read_csv(str(files("bokeh_sampledata") / "_data" / "stocks.csv.gz")).rename(columns=str.lower)
    rows = table[table["ticker"] == symbol].sort_values("date")
    return make_bars(rows["date"].to_numpy().astype("datetime64[D]"), {name: rows[name].to_numpy() for name in COLUMNS})


def recorded_bars(symbol: str) -> pd.DataFrame:
    """Bars as traded: index `session` (midnight, naive, ascending), float64 open, high, low, close, volume."""
    rows = recorded_rows(symbol)
    index = pd.DatetimeIndex([row.session for row in rows], name="session")
    names = ("open", "high", "low", "close", "volume")
    return pd.DataFrame({name: [float(getattr(row, name)) for row in rows] for name in names}, index=index)
