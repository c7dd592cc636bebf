"""Helpers that alter bars and append them to a store."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from stockml.prices.bars import Bars, Split, days_of, make_bars
from stockml.prices.store import BarStore
from stockml.storage.receipts import StoreReceipt
from tests.support.recordings import recorded

NOW = datetime(2026, 11, 24, 4, tzinfo=UTC)
IBM, MSFT = recorded("IBM"), recorded("MSFT")
SPLIT_DAY = date(2003, 2, 18)
SPLIT = Split(SPLIT_DAY, 2.0)  # MSFT's only one in the recording


def append(
    store: BarStore, bars: Bars, recorded_at: datetime = NOW, *, days: int = 0, ticker: str = "IBM"
) -> StoreReceipt:
    """Record an answer, `days` after `recorded_at`."""
    now, session = recorded_at + timedelta(days=days), bars.index[-1].date()
    return store.append(ticker, bars, recorded_at=now, source="test", session=session)


def judge(store: BarStore, day: date, *, accepted: bool = False, days: int = 0) -> None:
    """Record a person's judgement of a bar of IBM, `days` after NOW."""
    now = NOW + timedelta(days=days)
    store.judge("IBM", day, accepted=accepted, recorded_at=now, source="by hand")


def imported(store: BarStore, bars: Bars, *, days: int = 0, ticker: str = "IBM") -> bool:
    """Record an imported history, `days` after NOW."""
    return store.record_import(ticker, bars, recorded_at=NOW + timedelta(days=days), source="test")


def record_listed(
    store: BarStore,
    splits: Sequence[Split],
    now: datetime = NOW,
    *,
    days: int = 0,
    asked: Sequence[date] = (),
    ticker: str = "MSFT",
) -> None:
    """Record the splits as the provider listed them, `days` after `now`."""
    now += timedelta(days=days)
    store.record_splits(ticker, splits, recorded_at=now, source="SPLITS", asked=asked)


def restated(bars: Bars, row: int, column: str, factor: float) -> Bars:
    changed = bars.copy()
    changed.iloc[row, changed.columns.get_loc(column)] *= factor
    return changed


def scaled(bars: Bars, factor: float) -> Bars:
    prices = {name: bars[name].to_numpy() * factor for name in ("open", "high", "low", "close")}
    return make_bars(days_of(bars), {**prices, "volume": bars["volume"].to_numpy()})
