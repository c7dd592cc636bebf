"""A night's clock: the machine's, or in a replay of recorded prices the fixed moment that
STOCKML_CLOCK names."""

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from stockml.errors import InvalidSetting

# within these bounds every calendar answers or raises InvalidSession
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
END = datetime(2201, 1, 1, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
END_OF_RECORDING = datetime(2013, 3, 1, 23, 0, tzinfo=NEW_YORK)  # of the prices that are replayed
BOUND = (
    f"a time of {EARLIEST.year} to {END.year - 1} with its UTC offset, such as "
    "2013-03-01T23:00:00-05:00"
)


def now(environ: Mapping[str, str] = os.environ) -> datetime:
    """The current time in UTC. Raises InvalidSetting unless STOCKML_CLOCK is a time with a UTC
    offset, 1900 to 2200."""
    text = environ.get("STOCKML_CLOCK")
    if not text:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not EARLIEST <= moment < END:
        raise InvalidSetting("STOCKML_CLOCK", text, BOUND)
    return moment.astimezone(UTC)


def shown(moment: datetime) -> str:
    """`2013-03-01 23:00 in New York`: the one clock of what is not about another exchange."""
    return f"{moment.astimezone(NEW_YORK):%Y-%m-%d %H:%M} in New York"


def is_frozen(environ: Mapping[str, str] = os.environ) -> bool:
    return bool(environ.get("STOCKML_CLOCK"))


def wait(
    seconds: float,
    environ: Mapping[str, str] = os.environ,
    *,
    sleep: Callable[[float], None] | None = None,
) -> None:
    """Sleep, as a night does except between Prefect's retries; in a replay, whose clock is frozen,
    return at once."""
    if not is_frozen(environ):
        (sleep or time.sleep)(seconds)


def time_left(done: int, count: int, elapsed_s: float) -> str:
    """`about 20 s left`, if the remaining items take as long as those done."""
    rest_s = elapsed_s / done * max(count - done, 0)
    if rest_s < 90:
        return f"about {max(rest_s, 1):.0f} s left" if rest_s else "all done"
    return (
        f"about {rest_s / 60:.0f} min left"
        if rest_s < 5400
        else f"about {rest_s / 3600:.1f} h left"
    )
