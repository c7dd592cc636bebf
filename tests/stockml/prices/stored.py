"""Helpers that alter bars and append them to a store."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from stockml.prices.bars import Bars, Split, days_of, make_bars
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


def imported(store: BarStore, bars: Bars, *, days: int = 0, ticker: str = "IBM") -> bool:
    """Record an imported history, `days` after NOW."""
    return store.record_import(ticker, bars, recorded_at=NOW + timedelta(days=days), source="test")


def record_listed(
    store: BarStore, splits: Sequence[Split], *, days: int = 0, asked: Sequence[date] = ()
) -> None:
    """Record MSFT's splits as the provider listed them `days` after NOW."""
    now = NOW + timedelta(days=days)
    store.record_splits("MSFT", splits, recorded_at=now, source="SPLITS", asked=asked)


def restated(bars: Bars, row: int, column: str, factor: float) -> Bars:
    changed = bars.copy()
    changed.iloc[row, changed.columns.get_loc(column)] *= factor
    return changed


def scaled(bars: Bars, factor: float) -> Bars:
    prices = {name: bars[name].to_numpy() * factor for name in ("open", "high", "low", "close")}
    return make_bars(days_of(bars), {**prices, "volume": bars["volume"].to_numpy()})
