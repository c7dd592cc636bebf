"""What the key may still ask today, and whose turn it is."""

import os
from collections.abc import Mapping
from datetime import date

from stockml import clock
from stockml.home import home
from stockml.prices.calendar import Sessions
from stockml.provider.quota import Plan
from stockml.provider.turns import NextTurn, Turns, next_turn
from stockml.storage.notes import notes_of
from tasks.data import provider


def come(lasts: Mapping[str, date | None]) -> None:
    """Note that these tickers take part in the plan of a key with a daily cap, and the newest session of each."""
    if Plan.of(os.environ).requests_per_day is not None:
        _turns().come(lasts, clock.now())


def turn_of(ticker: str, last: date | None, tonight: date, sessions: Sessions) -> NextTurn | None:
    """None when it is the ticker's turn to ask for `tonight`, whoever started this run; else when it is.

    `last`: the newest session that it has, of which `come` has been told.
    """
    per_day = Plan.of(os.environ).requests_per_day
    if per_day is None or (last is not None and last >= tonight):
        return None
    waiting = _turns().waiting(clock.now())
    with provider() as asked:
        remaining = asked.remaining()
    return next_turn(ticker, waiting, tonight, remaining=remaining, per_day=per_day, sessions=sessions)


def _turns() -> Turns:
    return Turns(notes_of(home(), home().quota))
