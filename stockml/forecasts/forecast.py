"""The published forecast as plain data, its age, its width compared with the share's usual moves,
and the size of a position by its loss in one case of twenty."""

import math
from dataclasses import asdict, dataclass
from datetime import date, datetime
from statistics import NormalDist
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AliasChoices, BeforeValidator, Field, ValidationInfo

from stockml.errors import InvalidSetting, UnusableForecast, quantity
from stockml.features.origins import segments
from stockml.forecasts.outlook import Outlook, Touch
from stockml.models.regressions import LEVELS
from stockml.prices.calendar import Sessions
from stockml.prices.series import PriceSeries
from stockml.settings import AgeingSettings
from stockml.storage.arrays import Floats

EXPIRES_AFTER = AgeingSettings().old_forecast  # sessions
SUPERSEDED = (
    "another forecast of this session, with other settings or code, was published later and stands"
)
USUAL_SESSIONS = 2_500  # ten years of moves, with which a width is compared
MIN_MOVES = 250
ONE_IN_TWENTY = int(np.argmin(np.abs(LEVELS - 0.05)))
LIMITS = (
    "Not advice, and no upper bound: one time in twenty it costs more, and nothing here says how "
    "much more. It leaves out the prices on the way, what you hold besides (shares fall "
    "together), fees, taxes and other currencies."
)


@dataclass(frozen=True)
class Band:
    """The interval, in price, that holds the price at each lead with a probability of `coverage`
    percent."""

    coverage: int
    low: tuple[float, ...]
    high: tuple[float, ...]


def _by_lead(weights: Any, forecast: ValidationInfo) -> Any:
    """Repeat a single weight, as earlier versions wrote it, for every lead."""
    return (
        tuple(weights)
        if isinstance(weights, list | tuple)
        else (weights,) * len(forecast.data.get("path", ()))
    )


Price = Literal["close", "mid"]

StoredWeights = Annotated[
    tuple[float, ...],
    BeforeValidator(_by_lead),
    Field(validation_alias=AliasChoices("weights", "weight")),
]


@dataclass(frozen=True)
class Forecast:
    """The published path: prices of the sessions after `origin`, with intervals.

    `price`: closes or, by the tutorial's network and in earlier versions, mid prices; `last_value`
    is the origin's, `last_close` its close. `width_by`: FINE_TUNED, PRETRAINED or RIDGE. `weights`:
    by lead, 1 where the width is a network's, else 0; in earlier versions shares between them.
    `outlook`: the distribution in words for the next 5, 20 and 50 sessions. `touches`: the chances
    of touching −5 and −10 %. A forecast of the ledger or of an earlier version lacks close,
    width_by (None), outlook and touches.
    """

    origin: date
    last_value: float
    sessions: tuple[date, ...]
    path: tuple[float, ...]
    bands: tuple[Band, ...]
    probability_of_rise: float
    weights: StoredWeights
    direction_step: int = 30
    last_close: float | None = None
    outlook: tuple[Outlook, ...] = ()
    price: Price = "mid"
    width_by: str | None = None
    touches: tuple[Touch, ...] = ()

    def band(self, coverage: int) -> Band:
        return next(band for band in self.bands if band.coverage == coverage)

    def quantiles(self) -> Floats:
        """(leads, 21) log(price / `now`) at LEVELS: the bands' ends and, between them, by normal
        scores."""
        known = [(0.5, self.path)]
        for band in self.bands:
            known += [(0.5 - band.coverage / 200, band.low), (0.5 + band.coverage / 200, band.high)]
        levels, prices = zip(*sorted(known), strict=True)
        scores, knots = ([*map(NormalDist().inv_cdf, each)] for each in (LEVELS.tolist(), levels))
        moves = np.log(np.array(prices).T / self.now)
        return np.array([np.interp(scores, knots, each) for each in moves])

    def losses(self) -> Floats:
        """(leads,) share of `now` that one price in twenty is below it by, or by more; negative
        above it."""
        return np.asarray(-np.expm1(self.quantiles()[:, ONE_IN_TWENTY]), dtype=np.float64)

    @property
    def now(self) -> float:
        """The newest price known at the origin: the close, or what was forecast where no close was
        kept."""
        return self.last_value if self.last_close is None else self.last_close

    @property
    def without_network(self) -> bool:
        """Whether no network has a share of the width; a network that forecasts a path has none
        either."""
        return not any(self.weights)


@dataclass(frozen=True)
class Age:
    """Age of a forecast made after `origin`: `sessions` counts those since whose bar is final.

    superseded: another one of its session was published later.
    """

    origin: date
    sessions: int
    expires_after: int
    superseded: bool = False

    @property
    def expired(self) -> bool:
        return self.sessions > self.expires_after

    def __str__(self) -> str:
        made = f"made after the close of {self.origin}, {quantity(self.sessions, 'session')} ago"
        aged = f"expired: {made} (limit {self.expires_after})" if self.expired else made
        return f"{aged}; {SUPERSEDED}" if self.superseded else aged


def price_text(price: float) -> str:
    """A price for display: 1,202.91; below 1, where parts of a cent are quoted, 0.02884; from
    10,000 on 757,789."""
    places = 3 - math.floor(math.log10(price)) if 0 < price < 1 else 2 if price < 10_000 else 0
    return f"{price:,.{places}f}"


def age_of(
    origin: date, sessions: Sessions, now: datetime, expires_after: int = EXPIRES_AFTER
) -> Age:
    """Age at `now`, a time with its zone, of a forecast made after the close of `origin`."""
    return Age(origin, sessions.age(origin, now), expires_after)


def width_against_usual(forecast: Forecast, series: PriceSeries) -> float | None:
    """Log width of the 80 % band at the direction's step over that of the middle 80 % of ten years'
    moves: 1 is usual.

    series: through the origin; only its last segment says anything of today.  None with fewer than
    250 known moves, or where the price never moved (or only by what rounding leaves).
    """
    series = segments(series)[-1]
    step, band = forecast.direction_step, forecast.band(80)
    moves = np.log(series.close[step:] / series.close[:-step])[-USUAL_SESSIONS:]
    if len(moves) < MIN_MOVES:
        return None
    low, high = np.quantile(moves, (0.1, 0.9))
    return (
        float(np.log(band.high[step - 1] / band.low[step - 1]) / (high - low))
        if high - low > 1e-9
        else None
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
