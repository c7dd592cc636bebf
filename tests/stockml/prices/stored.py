"""Helpers that alter bars and append them to a store."""

from datetime import UTC, datetime

from stockml.prices.bars import Bars, days_of, make_bars
from stockml.prices.store import BarStore
from stockml.storage.receipts import StoreReceipt
from tests.support.recordings import recorded

NOW = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
IBM = recorded("IBM")


def append(
    store: BarStore, bars: Bars, recorded_at: datetime = NOW, ticker: str = "IBM"
) -> StoreReceipt:
    return store.append(
        ticker, bars, recorded_at=recorded_at, source="test", session=bars.index[-1].date()
    )


def restated(bars: Bars, row: int, column: str, factor: float) -> Bars:
    changed = bars.copy()
    changed.iloc[row, changed.columns.get_loc(column)] *= factor
    return changed


def scaled(bars: Bars, factor: float) -> Bars:
    prices = {name: bars[name].to_numpy() * factor for name in ("open", "high", "low", "close")}
    return make_bars(days_of(bars), {**prices, "volume": bars["volume"].to_numpy()})
