"""What kind of night it is: no session, an ordinary one, a late bar, or a feed that has stopped."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from stockml.errors import InvalidSession
from stockml.prices.calendar import Sessions
from stockml.settings import AgeingSettings


@dataclass(frozen=True)
class NoSession:
    """Nothing to do: the exchange does not trade on `day`, and all its final bars are stored."""

    day: date
    next_session: date

    def __str__(self) -> str:
        return f"no session on {self.day}; the next is {self.next_session}"


@dataclass(frozen=True)
class Ordinary:
    """The bar of `session` is there, or may be asked for; a half day is ordinary."""

    session: date
    half_day: bool

    def __str__(self) -> str:
        return f"session {self.session}{', a half day' if self.half_day else ''}"


@dataclass(frozen=True)
class Late:
    """The bar of `session` should be there and is not yet: ask again this night, then report."""

    session: date
    last: date
    age: int

    def __str__(self) -> str:
        return f"the bar of {self.session} is late; the newest published is {self.last}"


@dataclass(frozen=True)
class Stale:
    """The feed has stopped: its newest bar is `age` sessions old; asking again tonight does not help."""

    session: date
    last: date
    age: int

    def __str__(self) -> str:
        return f"the feed is stale: its last bar is of {self.last}, {self.age} sessions before {self.session}"


@dataclass(frozen=True)
class SetAsideTonight:
    """The bar of `session` is there and not believed: what was published before it stands."""

    session: date
    reason: str

    def __str__(self) -> str:
        return f"the bar of {self.session} is set aside: {self.reason}; the forecast before it stands"


@dataclass(frozen=True)
class AtRest:
    """The share is no longer listed: its bars, models and forecasts stay, and nothing is asked for."""

    session: date
    ticker: str
    delisted: date

    def __str__(self) -> str:
        return (
            f"{self.ticker} was taken off its exchange on {self.delisted}, it is at rest; "
            f"`stockml rename {self.ticker} NEW` if it goes on under another symbol"
        )


Outcome = NoSession | Ordinary | Late | Stale | SetAsideTonight | AtRest


def night_outcome(
    sessions: Sessions,
    *,
    requested: date | None,
    now: datetime,
    last_stored: date | None,
    newest: date | None = None,
    stale_after: int = AgeingSettings().stale_bars,
) -> Outcome:
    """What kind of night this is: before asking the feed (`newest` None), or with the newest bar of its answer.

    `requested` None means the newest session that is final at `now`. On a day without a session there is nothing to
    do, unless an earlier night was missed (`last_stored`, the newest session that is done, is behind): it is caught
    up. A feed that lacks fewer sessions than `stale_after` is late, with more it is stale.
    Raises InvalidSession for a requested day whose bar is not final at `now`.
    """
    last_final = sessions.last_final(now)
    today = now.astimezone(sessions.tz).date()
    session = requested or last_final
    if not sessions.is_session(session):
        return NoSession(session, sessions.after(session, 1)[0])
    if requested is None and not sessions.is_session(today) and last_stored is not None and last_stored >= last_final:
        return NoSession(today, sessions.after(today, 1)[0])
    if session > last_final:
        raise InvalidSession(str(session), f"its bar is final at {sessions.final_time(session):%Y-%m-%d %H:%M %Z}")
    if newest is None or newest >= session:
        return Ordinary(session, sessions.is_half_day(session))
    age = len(sessions.between(newest + timedelta(days=1), session))
    return Stale(session, newest, age) if age >= stale_after else Late(session, newest, age)
