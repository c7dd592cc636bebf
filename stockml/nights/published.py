"""A ticker's newest published forecast, with what its night's record adds; and every ticker's in
`latest.parquet` and `latest.csv`: for a spreadsheet, Grafana, another program.

A row a ticker and lead, in this order. Prices are in the currency in which the exchange quotes the
ticker; an empty cell is not known.

| column | |
| --- | --- |
| session | the forecast was made after its close; an old day, where nothing newer was published |
| ticker, lead, target | `lead` sessions after `session` is `target` |
| close | the price of `session` |
| price | what is forecast: `close`, or `mid` by the tutorial's network |
| median, low_80, high_80, low_95, high_95 | of the price of `target`, and the ends of its bands |
| loss | share of the close that it loses, or more, in one case of twenty; 0.05 is 5 % |
| touch_5, touch_10 | the chance, 0 to 1, of a low 5 or 10 % below the close within 20 sessions |
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

import pandas as pd

from stockml.errors import NoForecast, StoreError
from stockml.forecasts.forecast import EXPIRES_AFTER, Age, Forecast, age_of
from stockml.forecasts.ledger import Ledger, LedgerEntry, entries_of
from stockml.forecasts.touch import FALLS
from stockml.home import HomePaths
from stockml.nights.record import Night, kept_night
from stockml.nights.status import known_tickers
from stockml.prices.calendar import Sessions
from stockml.storage.files import write_atomically
from stockml.storage.locks import BUSY_S, file_lock

NAMES = "latest.parquet", "latest.csv"


@dataclass(frozen=True)
class Published:
    """night: the entry's; None where its record is gone or damaged."""

    entry: LedgerEntry
    night: Night | None

    @property
    def forecast(self) -> Forecast:
        """The night's, with its chances of a touch; else the ledger's."""
        return self.night.forecast if self.night and self.night.forecast else self.entry.forecast

    def age(self, sessions: Sessions, now: datetime) -> Age:
        """By the night's own limit, if it is known."""
        limit = self.night.expires_after if self.night else EXPIRES_AFTER
        return age_of(self.forecast.origin, sessions, now, limit)


def newest_published(home: HomePaths, ticker: str) -> Published:
    """The last of the ledger's newest session.  Raises NoForecast, RecordUnreadable."""
    [entry] = entries_of(ticker, Ledger(home.ledger).newest(ticker))
    return Published(entry, kept_night(home.nights, ticker, entry.key))


def write_latest(home: HomePaths) -> None:
    """Write both files, if anything was ever published.  Raises StoreBusy, DiskFull, OSError."""
    # else an older table might be the last that is written
    with file_lock(home.locks / "latest.lock", BUSY_S):
        table, parquet = latest(home), BytesIO()
        if table.empty:
            return
        table.to_parquet(parquet, index=False)
        for name, content in zip(
            NAMES, (parquet.getvalue(), table.to_csv(index=False).encode()), strict=True
        ):
            write_atomically(home.root / name, content)


def latest(home: HomePaths) -> pd.DataFrame:
    """The table, its days as naive midnights.  A ticker whose ledger is damaged is left out: its
    own night fails."""
    tables = []
    for ticker in sorted(known_tickers(home)):
        with suppress(StoreError, NoForecast):
            tables.append(_rows(home, ticker))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _rows(home: HomePaths, ticker: str) -> pd.DataFrame:
    forecast = newest_published(home, ticker).forecast
    touches = {each.fall: each.shown for each in forecast.touches}
    columns: dict[str, Any] = {
        "session": pd.Timestamp(forecast.origin),
        "ticker": ticker,
        "lead": range(1, len(forecast.path) + 1),
        "target": pd.DatetimeIndex(forecast.sessions),
        "close": forecast.now,
        "price": forecast.price,
        "median": forecast.path,
    }
    for coverage in (80, 95):
        band = forecast.band(coverage)
        columns |= {f"low_{coverage}": band.low, f"high_{coverage}": band.high}
    columns["loss"] = forecast.losses()
    columns |= {f"touch_{100 * fall:.0f}": touches.get(fall, float("nan")) for fall in FALLS}
    return pd.DataFrame(columns)
