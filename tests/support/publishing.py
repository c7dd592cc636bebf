"""Recorded bars and forecasts of IBM put into a home, as nights would have left them."""

from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from stockml.forecasts.forecast import Forecast, Price
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import HomePaths
from stockml.prices.bars import Bars
from stockml.prices.calendar import sessions_for
from stockml.prices.store import BarStore
from tests.support.forecasts import bands_around
from tests.support.recordings import recorded

HORIZON, DIRECTION = 50, 30
FRIDAY, LAST = date(2013, 2, 22), date(2013, 3, 1)
# noon in New York on the day after the recording's last session
SATURDAY = "2013-03-02T12:00:00-05:00"


def record(home: HomePaths, bars: Bars, at: date, ticker: str = "IBM") -> None:
    store, recorded_at = BarStore.of(home), datetime.combine(at, time(4), UTC)
    store.append(
        ticker, bars, recorded_at=recorded_at, source="test", session=bars.index[-1].date()
    )


def publish(
    home: HomePaths,
    origin: date,
    hours_later: float = 0.0,
    ticker: str = "IBM",
    price: Price = "mid",
) -> None:
    """Publish a path that rises by a thousandth a session, at 04:00 UTC after its session, plus
    `hours_later`."""
    bar = recorded("IBM").loc[str(origin)]
    last, lead = (bar["high"] + bar["low"]) / 2, np.arange(1, HORIZON + 1)
    path = last * (1 + lead / 1_000)
    bands = bands_around(path, {50: 0.02, 80: 0.04, 95: 0.06})
    sessions = sessions_for(ticker).after(origin, HORIZON)
    chances = {"probability_of_rise": 0.6, "weights": (0.5,) * HORIZON}
    steps = {"direction_step": DIRECTION, "price": price}
    said = Forecast(origin, last, sessions, tuple(path.tolist()), bands, **chances, **steps)
    published = datetime.combine(origin, time(4), UTC) + timedelta(days=1, hours=hours_later)
    Ledger(home.ledger).publish(LedgerEntry(ticker, f"{origin} {hours_later}", published, said))
