"""Input data of the benchmarks: the recording, repeated, as bars, a payload or a CSV file."""

import json
from pathlib import Path

import numpy as np

from stockml.prices.bars import COLUMNS, PRICES, Bars, days_of, make_bars
from stockml.prices.calendar import sessions_for
from tests.support.recordings import recorded

TICKER = "IBM"
FIELDS = ("1. open", "2. high", "3. low", "4. close", "5. volume")


def repeated(sessions: int, bars: Bars | None = None) -> Bars:
    """`sessions` bars: copies of the bars (of IBM's recording) before them, each scaled to end at
    the next one's open."""
    bars = recorded(TICKER) if bars is None else bars
    prices, volume = bars[list(PRICES)].to_numpy(), bars["volume"].to_numpy()
    level = prices[0, 0] / prices[-1, PRICES.index("close")]
    times = -(-sessions // len(bars))
    chained = np.concatenate([prices * level**back for back in reversed(range(times))])[
        -sessions:
    ].round(4)
    before = sessions_for(TICKER).before(bars.index[0].date(), max(sessions - len(bars), 0))
    days = np.concatenate([np.array(before, "datetime64[D]"), days_of(bars)])[-sessions:]
    columns = {name: chained[:, at] for at, name in enumerate(PRICES)}
    return make_bars(days, {**columns, "volume": np.tile(volume, times)[-sessions:]})


def payload(bars: Bars) -> bytes:
    """The bars as an answer of Alpha Vantage's TIME_SERIES_DAILY: newest first, numbers as text,
    indented."""
    days = [str(day) for day in days_of(bars)]
    rows = bars[list(COLUMNS)].to_numpy()
    texts = ([f"{price:.4f}" for price in row[:4]] + [str(int(row[4]))] for row in rows)
    series = {
        day: dict(zip(FIELDS, row, strict=True)) for day, row in zip(days, texts, strict=True)
    }
    meta = {
        "1. Information": "Daily Prices (open, high, low, close) and Volumes",
        "2. Symbol": TICKER,
        "3. Last Refreshed": days[-1],
        "4. Output Size": "Full size",
        "5. Time Zone": "US/Eastern",
    }
    return json.dumps(
        {"Meta Data": meta, "Time Series (Daily)": dict(reversed(series.items()))}, indent=4
    ).encode()


def write_csv(bars: Bars, path: Path) -> Path:
    """Write the bars in Kaggle's layout; return `path`."""
    named = bars[list(COLUMNS)].rename(columns=str.title).rename_axis("Date").assign(OpenInt=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    named.to_csv(path, date_format="%Y-%m-%d", float_format="%.6g")
    return path
