"""How old a forecast is, and when it has expired."""

from dataclasses import dataclass
from datetime import date, datetime

from stockml.prices.calendar import Sessions
from stockml.settings import AgeingSettings

EXPIRES_AFTER = AgeingSettings().old_forecast


@dataclass(frozen=True)
class Age:
    """`sessions`: how many have a final bar that the forecast, made after `origin`, does not know."""

    origin: date
    sessions: int
    expires_after: int = EXPIRES_AFTER

    @property
    def expired(self) -> bool:
        return self.sessions > self.expires_after

    def __str__(self) -> str:
        ago = f"{self.sessions} session{'' if self.sessions == 1 else 's'} ago"
        made = f"made after the close of {self.origin}, {ago}"
        return f"expired: {made} (limit {self.expires_after})" if self.expired else made


def age_of(origin: date, sessions: Sessions, now: datetime, expires_after: int = EXPIRES_AFTER) -> Age:
    """The age at `now`, a time with its zone, of a forecast that was made after the close of `origin`."""
    return Age(origin, sessions.age(origin, now), expires_after)
