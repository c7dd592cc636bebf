"""The recorded prices of bokeh-sampledata as raw bars, for tests."""

from datetime import date
from functools import cache
from importlib.resources import files

import pandas as pd

from stockml.prices.bars import COLUMNS, Bars, make_bars


@cache
def _rows(symbol: str) -> pd.DataFrame:
    table = pd.read_csv(str(files("bokeh_sampledata") / "_data" / "stocks.csv.gz")).rename(
        columns=str.lower
    )
    return table[table["ticker"] == symbol].sort_values("date").set_index("date")


def adjusted_closes(symbol: str) -> dict[date, float]:
    """The recording's own closes adjusted for dividends and splits, which the program has no use
    for."""
    return {
        date.fromisoformat(day): float(close) for day, close in _rows(symbol)["adj close"].items()
    }


@cache
def recorded(symbol: str) -> Bars:
    """Raw bars as traded of AAPL, FB, GOOG, IBM or MSFT, up to 2013-03-01. Cached: do not modify in
    place."""
    rows = _rows(symbol)
    return make_bars(
        rows.index.to_numpy().astype("datetime64[D]"),
        {name: rows[name].to_numpy() for name in COLUMNS},
    )
