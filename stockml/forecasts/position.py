"""The size of a position by its loss in one case of twenty."""

import math
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from stockml.errors import InvalidSetting, UnusableForecast, quantity
from stockml.forecasts.forecast import Age, Forecast, price_text

LIMITS = (
    "Not advice, and no upper bound: one time in twenty it costs more, and nothing here says how "
    "much more. It leaves out the prices on the way, what you hold besides (shares fall "
    "together), fees, taxes and other currencies."
)


@dataclass(frozen=True)
class Position:
    """origin: of the forecast, whose `close` is what a share costs.  session: `lead` sessions
    later.

    loss: share of the close that the forecast loses, or more, in one case of twenty.  risk: of the
    capital, a share. shares: whole ones, for at most the capital.  at_risk: what they lose then, in
    the currency of the capital.
    """

    ticker: str
    origin: date
    lead: int
    session: date
    close: float
    loss: float
    capital: float
    risk: float
    shares: int

    @property
    def at_risk(self) -> float:
        return self.shares * self.close * self.loss

    @property
    def cost(self) -> float:
        return self.shares * self.close

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        days = {"origin": self.origin.isoformat(), "session": self.session.isoformat()}
        return asdict(self) | days | {"cost": self.cost, "at_risk": self.at_risk}

    def text(self) -> str:
        """Two sentences, then LIMITS."""
        each, of_close = (
            price_text(self.close * self.loss),
            f"{self.loss:.1%} of the close of {self.origin}",
        )
        return (
            f"{self.ticker}: {quantity(self.shares, 'share')} at {price_text(self.close)}, "
            f"{self.cost:,.2f} in all. One time in twenty a share loses more than {each}, "
            f"{of_close}, by {self.session} ({quantity(self.lead, 'session')}): these "
            f"{self.at_risk:,.2f}, of at most {self.capital * self.risk:,.2f} "
            f"({100 * self.risk:g}% of {self.capital:,.2f}). {LIMITS}"
        )


def position(
    ticker: str, forecast: Forecast, age: Age, *, capital: float, risk: float, lead: int = 1
) -> Position:
    """The most whole shares for the capital that lose at most `risk` of it at `lead`, but for one
    case in twenty.

    capital: in the currency of the prices.  risk: above 0, up to 1.  lead: sessions from the
    forecast's origin. Raises InvalidSetting; UnusableForecast for one that has expired, is of mid
    prices, or whose lead is over by `age`.
    """
    if not (math.isfinite(capital) and capital > 0):
        raise InvalidSetting("capital", capital, "an amount above 0")
    if not 0 < risk <= 1:
        raise InvalidSetting("risk", risk, "a share of the capital above 0 and up to 1")
    if not 1 <= lead <= len(forecast.path):
        raise InvalidSetting("lead", lead, f"from 1 to {len(forecast.path)} sessions")
    if age.expired:
        raise UnusableForecast(ticker, "a forecast that counts still", str(age))
    if lead <= age.sessions:
        raise UnusableForecast(ticker, f"a forecast whose session {lead} is to come", f"one {age}")
    if forecast.price != "close":
        raise UnusableForecast(ticker, "a forecast of closes", "one of mid prices")
    close, loss = forecast.now, float(forecast.losses()[lead - 1])
    shares = capital / close
    if loss > 0:
        shares = min(shares, capital * risk / (close * loss))
    session = forecast.sessions[lead - 1]
    return Position(
        ticker, forecast.origin, lead, session, close, loss, capital, risk, math.floor(shares)
    )
