"""Runs of the flows in this process, with their progress on standard error. To be called within `prefect_api()`."""

from typing import TYPE_CHECKING, Any

from deployments.progress import progress
from stockml.home import home

if TYPE_CHECKING:
    from stockml.night import Night
    from stockml.receipts import StoreReceipt


NOISE = "library-noise.log"


def run_night(ticker: str, *, quiet: bool = False, **arguments: Any) -> "Night":
    """One run of the nightly flow. Raises what the night raised."""
    from flows.nightly import nightly

    with progress(home().root / NOISE, quiet=quiet):
        # a person who waits at a terminal is told that the bar is late, and asks again when it suits them
        night: Night = _outcome(nightly(ticker, **arguments, late_retries=0))
    return night


def run_history(ticker: str, *, quiet: bool = False, **arguments: Any) -> "StoreReceipt":
    """One run of the history flow. Raises what it raised, PremiumOnly on a free key."""
    from flows.history import history

    with progress(home().root / NOISE, quiet=quiet):
        bars: StoreReceipt = _outcome(history(ticker, **arguments))
    return bars


def _outcome(returned: Any) -> Any:
    from prefect.states import State

    return returned.result() if isinstance(returned, State) else returned
