"""The series that a night's model sees: adjusted, through tonight's session, nothing later."""

from stockml.home import Home
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore, bar_store
from stockml.storage.files import sha256_of
from stockml.storage.receipts import DatasetReceipt, StoreReceipt


def beside_the_bars(home: Home, ticker: str) -> str:
    """Hashes of what adjusts a ticker's bars without being among them: its splits and its imported history."""
    store = BarStore(home.store, home.locks)
    return " ".join(sha256_of(address) or "none" for address in store.addresses_beside(ticker))


def renormalise(home: Home, bars: StoreReceipt, *, calendar: str | None) -> DatasetReceipt:
    """Write the adjusted series up to the session; its SHA-256 is the night's data hash, equal for equal series.

    The scale is fitted where the model is, since what may be learned from depends on the parts.
    Raises NoBars, HistoryError.
    """
    store = bar_store(home, bars.ticker, calendar)
    adjusted, adjustment = store.adjusted_with_identity(bars.ticker, until=bars.session)
    path = home.datasets / bars.ticker / f"{bars.session}.parquet"
    PriceSeries.from_bars(adjusted).write(path)
    sha256 = sha256_of(str(path)) or ""
    return DatasetReceipt(bars.ticker, str(path), sha256, bars.session, sessions=len(adjusted), adjustment=adjustment)
