"""The price providers, and the turns of tickers that share one key's requests."""

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from typing import Any

from httpx import TransportError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from stockml import clock
from stockml.errors import StoreError
from stockml.home import current_home
from stockml.prices.calendar import Sessions
from stockml.prices.store import BarStore
from stockml.provider import price_source
from stockml.provider.client import AlphaVantage
from stockml.provider.quota import (
    FREE,
    NextTurn,
    Plan,
    next_turn,
    note_turns,
    noted_turns,
    quota_day,
    stalest_first,
)
from stockml.provider.tiingo import Tiingo
from stockml.storage.locks import FileNotes


def provider() -> AlphaVantage:
    """The price provider, with the key of the environment or of a Secret block. Raises
    MixedPrices."""
    price_source.check(current_home(), price_source.kind_of(os.environ))
    return AlphaVantage(
        os.environ, FileNotes(current_home().quota), key=_key_from_block(), sleep=clock.wait
    )


def plan_gives_history() -> bool:
    return Plan.of(os.environ) != FREE  # which has no `outputsize=full`


# as the night itself waits for a server that restarts
@retry(
    retry=retry_if_exception_type(TransportError),
    wait=wait_fixed(1),
    stop=stop_after_delay(60),
    reraise=True,
)
def _key_from_block() -> str | None:
    """The key from the Prefect Secret block `alphavantage-api-key`; None if the environment has
    one, or without it."""
    if os.environ.get("ALPHAVANTAGE_API_KEY"):
        return None
    from prefect.blocks.system import Secret

    try:
        secret: Any = Secret.load("alphavantage-api-key")  # its type allows for a coroutine
        return str(secret.get())
    except ValueError:
        return None


def second_provider() -> Tiingo:
    return Tiingo(os.environ, FileNotes(current_home().quota), sleep=clock.wait)


def history_is_elsewhere() -> bool:
    """Whether the second provider gives the history: it has a key, the plan lacks it, and this is
    no replay."""
    has_key = bool(os.environ.get("TIINGO_API_KEY")) and not plan_gives_history()
    return has_key and price_source.kind_here(current_home(), os.environ) != "replay"


def join_turns(lasts: Mapping[str, date | None]) -> Mapping[str, date | None]:
    """Note that these tickers share a capped key, each with its newest session; returns the
    sessions as noted."""
    capped = Plan.of(os.environ).requests_per_day is not None
    return note_turns(FileNotes(current_home().quota), lasts, clock.now()) if capped else lasts


def stalest_of(calendars: Mapping[str, str]) -> list[str]:
    """These tickers, each with its calendar's name, by their newest sessions, the stalest first.

    Each one's night then asks whether its turn has come.
    """
    lasts: dict[str, date | None] = {}
    for ticker, calendar in calendars.items():
        with suppress(StoreError):  # its own night reports the fault
            lasts[ticker] = BarStore.of(current_home(), calendar).last_session(ticker)
    unread = (ticker for ticker in calendars if ticker not in lasts)
    return [*stalest_first(join_turns(lasts)), *unread]


def turn_of(ticker: str, session: date, calendar: Sessions) -> NextTurn | None:
    """None if the ticker, which has joined the turns, may ask for `session` now; else its next
    turn."""
    per_day = Plan.of(os.environ).requests_per_day
    if per_day is None:
        return None
    waiting, today = (
        noted_turns(FileNotes(current_home().quota), clock.now()),
        quota_day(clock.now()),
    )
    with provider() as client:
        remaining = client.remaining()
    return next_turn(
        ticker,
        waiting,
        session,
        today=today,
        remaining=remaining,
        per_day=per_day,
        sessions=calendar,
    )
