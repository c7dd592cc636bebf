"""Who is asked for prices, whose turn it is, and how fast: one key's requests, across tickers and machines."""

import os
from collections.abc import Mapping
from datetime import date
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import rate_limit
from prefect.exceptions import ObjectAlreadyExists
from prefect.logging import get_run_logger
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from stockml import clock
from stockml.home import home
from stockml.prices.calendar import Sessions
from stockml.provider import price_source
from stockml.provider.client import AlphaVantage
from stockml.provider.quota import FREE, NextTurn, Plan, Turns, next_turn
from stockml.provider.tiingo import Tiingo
from stockml.storage.notes import Notes, notes_of

LIMIT = "alphavantage"  # Prefect's global limit, beside the ledger that spaces one machine's requests
RETURN_S = 60.0  # a server that is restarted is back by then


def provider() -> AlphaVantage:
    """The price provider that the environment, or a Secret block, gives the key for. Raises MixedPrices."""
    price_source.check(home(), price_source.kind_of(os.environ))
    return AlphaVantage(os.environ, _notes(), key=_key_from_block(), sleep=clock.wait)


def plan_gives_history() -> bool:
    """Whether the key's plan has `outputsize=full`: any but the free one."""
    return Plan.of(os.environ) != FREE


def _key_from_block() -> str | None:
    """The key from the Prefect Secret block `alphavantage-api-key`, where the environment has none."""
    if os.environ.get("ALPHAVANTAGE_API_KEY"):
        return None
    from prefect.blocks.system import Secret

    secrets: Any = Secret  # its types do not know `_sync`
    try:
        return str(secrets.load("alphavantage-api-key", _sync=True).get())
    except ValueError:
        return None


def second_provider() -> Tiingo | None:
    """Who gives history where the plan does not: Tiingo, with a key of its own. Never in a replay."""
    if not os.environ.get("TIINGO_API_KEY") or price_source.kind_here(home(), os.environ) == "replay":
        return None
    return Tiingo(os.environ, _notes(), sleep=clock.wait)


def has_second_provider() -> bool:
    if second := second_provider():
        second.close()
    return second is not None


def come(lasts: Mapping[str, date | None]) -> None:
    """Note that these tickers take part in the plan of a key with a daily cap, and the newest session of each."""
    if Plan.of(os.environ).requests_per_day is not None:
        Turns(_notes()).come(lasts, clock.now())


def turn_of(ticker: str, last: date | None, tonight: date, sessions: Sessions) -> NextTurn | None:
    """None when it is the ticker's turn to ask for `tonight`, whoever started this run; else when it is.

    `last`: the newest session that it has, of which `come` has been told.
    """
    per_day = Plan.of(os.environ).requests_per_day
    if per_day is None or (last is not None and last >= tonight):
        return None
    waiting = Turns(_notes()).waiting(clock.now())
    with provider() as asked:
        remaining = asked.remaining()
    return next_turn(ticker, waiting, tonight, remaining=remaining, per_day=per_day, sessions=sessions)


def wait_for_rate_limit(limit: str = LIMIT, return_s: float = RETURN_S) -> None:
    """Wait for this request's slot; where the server knows no such limit there is nothing to wait for.

    A server that is being restarted is waited for, up to `return_s`. One that stays away keeps nobody from asking: the
    ledger still spaces this machine's requests.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(ConcurrencySlotAcquisitionError),
        wait=wait_fixed(1),
        stop=stop_after_delay(return_s),
        retry_error_callback=_unspaced,
    )
    attempts(rate_limit, limit, strict=False)


def _unspaced(attempts: RetryCallState) -> None:
    get_run_logger().warning("Prefect cannot be reached: this request is spaced on this machine alone")


def configure_rate_limit(plan: Plan) -> None:
    """Let the server hand out the plan's requests a minute, one slot at a time. To be called by who runs a server."""
    per_second = plan.requests_per_minute / 60
    limit: Any = {"limit": max(1, int(per_second)), "slot_decay_per_second": per_second}
    with get_client(sync_client=True) as client:
        try:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=LIMIT, **limit))
        except ObjectAlreadyExists:
            client.update_global_concurrency_limit(LIMIT, GlobalConcurrencyLimitUpdate(**limit))


def _notes() -> Notes:
    return notes_of(home(), home().quota)
