"""A ticker's newest published forecast, with what its night's record adds."""

from dataclasses import dataclass
from datetime import datetime

from stockml.forecasts.forecast import EXPIRES_AFTER, Age, Forecast, age_of
from stockml.forecasts.ledger import Ledger, LedgerEntry, entries_of
from stockml.home import HomePaths
from stockml.nights.record import Night, kept_night
from stockml.prices.calendar import Sessions


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
