"""The series that a night's model sees: adjusted, through tonight's session and no later."""

import hashlib
from datetime import date
from functools import cache

from stockml.errors import NoBars
from stockml.home import HomePaths
from stockml.models.vintage_set import vintages_sha256
from stockml.models.vintage_store import KINDS, SHIPPED
from stockml.nights.data_notes import data_notes, of_answer
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.storage.files import sha256_of
from stockml.storage.receipts import DatasetReceipt, StoreReceipt


def side_inputs_sha256(home: HomePaths, ticker: str, session: date) -> str:
    """Hashes of a night's inputs besides the ticker's bars: its splits, imports and judgements, and
    the pretrained networks."""
    hashes = (sha256_of(address) or "none" for address in BarStore.of(home).side_files(ticker))
    return " ".join([*hashes, inputs_sha256(home, session)])


def inputs_sha256(home: HomePaths, session: date) -> str:
    """Hash of what was learned across tickers: everything shipped, and what the home had learned by
    the session."""
    return f"{_shipped()} {vintages_sha256(session, home.pretrained)}"


@cache
def _shipped() -> str:
    files = sorted(path for kind in KINDS.values() for path in SHIPPED.glob(kind.pattern))
    return hashlib.sha256(
        "\n".join(f"{file.name} {sha256_of(file)}" for file in files).encode()
    ).hexdigest()


def renormalise(home: HomePaths, bars: StoreReceipt, *, calendar: str | None) -> DatasetReceipt:
    """Write the series adjusted through the session; its SHA-256 is the data hash. Raises NoBars,
    HistoryError."""
    store = BarStore.of(home, calendar)
    view = store.view(bars.ticker, until=bars.session)
    if (newest := view.bars.index[-1].date()) < bars.session:
        raise NoBars(
            store.path(bars.ticker),
            f"no bar of {bars.session} that is believed, the newest is of {newest}",
        )
    path = home.datasets / bars.ticker / f"{bars.session}.parquet"
    PriceSeries.from_bars(view.bars).write(path)
    sha256 = sha256_of(path) or ""
    notes = of_answer(store, bars) + data_notes(bars.ticker, view, store.sessions(bars.ticker))
    pretrained, count = inputs_sha256(home, bars.session), len(view.bars)
    return DatasetReceipt(
        bars.ticker,
        str(path),
        sha256,
        bars.session,
        count,
        view.adjustment,
        notes,
        pretrained,
        calendar,
    )
