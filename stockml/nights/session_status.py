"""Which past sessions may be requested; and what kind of night it is: no session, ordinary, late,
or stale."""

from calendar import SATURDAY
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from stockml import clock
from stockml.errors import InvalidSession, quantity
from stockml.nights import states
from stockml.prices.calendar import Sessions
from stockml.settings import AgeingSettings

MAX_SESSIONS = 1_000  # at a time


@dataclass(frozen=True)
class SessionStatus:
    """What kind of night it is.  state: its run's end state; None where the night goes on to train
    and publish."""

    session: date
    text: str
    state: str | None = None

    def __str__(self) -> str:
        return self.text


def session_status(
    sessions: Sessions,
    *,
    requested: date | None,
    now: datetime,
    last_stored: date | None,
    newest: date | None = None,
    stale_after: int = AgeingSettings().stale_bars,
) -> SessionStatus:
    """What kind of night this is: before asking the feed (`newest` None), or with the newest bar of
    its answer.

    `requested` None means the newest session that is final at `now`. On a day without a session, or
    before the open after a weekday without one, there is nothing to do, unless `last_stored`, the
    newest session done, is behind. A feed that lacks fewer than `stale_after` sessions is late, and
    asked again tonight; otherwise it is stale. Raises InvalidSession for a requested day whose bar
    is not final at `now`.
    """
    last_final = sessions.last_final(now)
    today = now.astimezone(sessions.tz).date()
    session = requested or last_final
    is_done = last_stored is not None and last_stored >= last_final
    before = today - timedelta(days=1)
    is_morning = (
        last_final < before and before.weekday() < SATURDAY and now < sessions.open_time(today)
    )
    day = (before if is_morning else today) if requested is None and is_done else session
    if not sessions.is_session(day):
        text = f"no session on {day}; the next is {sessions.after(day, 1)[0]}"
        return SessionStatus(day, text, states.NO_SESSION)
    if session > last_final:
        final = f"{sessions.final_time(session):%Y-%m-%d %H:%M %Z}"
        stands = (
            f"and this replay's clock stands at {now.astimezone(sessions.tz):%Y-%m-%d %H:%M %Z}"
        )
        when = stands if clock.is_frozen() else "which is still to come"
        raise InvalidSession(str(session), f"its bar is final at {final}, {when}")
    if newest is None or newest >= session:
        return SessionStatus(
            session, f"session {session}{', a half day' if sessions.is_half_day(session) else ''}"
        )
    age, known_through = (
        len(sessions.between(newest + timedelta(days=1), session)),
        sessions.holidays_known_through,
    )
    warning = (
        f"; the holidays of {sessions.name} are known through {known_through}: update "
        "exchange-calendars"
    )
    doubt = warning if session > known_through else ""
    if age < stale_after:
        return SessionStatus(
            session,
            f"the bar of {session} is late; the newest published is {newest}{doubt}",
            states.LATE,
        )
    text = (
        f"the feed is stale: its last bar is of {newest}, {quantity(age, 'session')} before "
        f"{session}{doubt}"
    )
    return SessionStatus(session, text, states.STALE)


def past_sessions(calendar: Sessions, first: date, last: date, now: datetime) -> tuple[date, ...]:
    """The sessions from `first` to `last`, oldest first. Raises InvalidSession if none, too many or
    not all over."""
    if last < first:
        raise InvalidSession(
            str(last), f"the last day of a range that begins on {first}; exchange the two"
        )
    if last > (final := calendar.last_final(now)):
        raise InvalidSession(
            str(last), f"its bar is not final yet; the newest that is final is {final}"
        )
    if not (sessions := calendar.between(first, last)):
        raise InvalidSession(
            str(first), f"{calendar.name} does not trade from then to {last}; widen the range"
        )
    if len(sessions) > MAX_SESSIONS:
        raise InvalidSession(
            str(first), f"{len(sessions)} sessions to {last}, at most {MAX_SESSIONS} at a time"
        )
    return sessions
