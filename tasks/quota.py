"""What the key may still ask today."""

import os
from collections.abc import Mapping
from datetime import date

from stockml import clock
from stockml.home import home
from stockml.prices.calendar import Sessions
from stockml.provider.quota import NextTurn, Plan, Turns, next_turn
from stockml.storage.notes import Notes, notes_of
from tasks.data import provider


def requests_left() -> int | None:
    """Requests left today; None means no cap."""
    with provider() as asked:
        return asked.remaining()


def come(lasts: Mapping[str, date | None]) -> None:
    """Note that these tickers take part in the plan of a key with a daily cap, and the newest session of each."""
    if _per_day() is not None:
        Turns(quota_notes()).come(lasts, clock.now())


def turn_of(ticker: str, last: date | None, tonight: date, sessions: Sessions) -> NextTurn | None:
    """None when it is the ticker's turn to ask for `tonight`, whoever started this run; else when it is.

    `last`: the newest session that it has, of which `come` has been told.
    """
    if (last is not None and last >= tonight) or (per_day := _per_day()) is None:
        return None
    waiting = Turns(quota_notes()).waiting(clock.now())
    return next_turn(ticker, waiting, tonight, remaining=requests_left(), per_day=per_day, sessions=sessions)


def quota_notes() -> Notes:
    """Where requests are counted, for all who ask with a key."""
    return notes_of(home(), home().quota)


def _per_day() -> int | None:
    return Plan.of(os.environ).requests_per_day
