"""A ticker's newest published forecast, with what its night's record adds and its age."""

from dataclasses import dataclass
from datetime import datetime

from stockml.forecasts.forecast import EXPIRES_AFTER, Age, Forecast, age_of
from stockml.forecasts.ledger import Ledger, LedgerEntry, entries_of
from stockml.home import HomePaths
from stockml.nights.record import Night, kept_night
from stockml.prices.store import BarStore


@dataclass(frozen=True)
class Published:
    """night: the entry's; None where its record is gone or damaged.  forecast: the night's, else the ledger's."""

    entry: LedgerEntry
    night: Night | None
    forecast: Forecast
    age: Age


def newest_published(home: HomePaths, ticker: str, store: BarStore, now: datetime) -> Published:
    """store: the ticker's, with its calendar.  Raises NoForecast, RecordUnreadable."""
    [entry] = entries_of(ticker, Ledger(home.ledger).newest(ticker))
    night = kept_night(home.nights, ticker, entry.key)
    forecast = night.forecast if night and night.forecast else entry.forecast
    limit = night.expires_after if night else EXPIRES_AFTER
    return Published(entry, night, forecast, age_of(forecast.origin, store.sessions(ticker), now, limit))
