"""How long a test waits for what must come: only one that fails waits that long, on a machine as busy as may be."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

T = TypeVar("T")
PATIENCE_S = 600.0


def until(found: Callable[[], T], every_s: float = 0.05) -> T:
    """Ask again and again, for what is waited for and not for a time: the first answer that is no nothing."""
    asking = Retrying(
        retry=retry_if_result(lambda answer: not answer), wait=wait_fixed(every_s), stop=stop_after_delay(PATIENCE_S)
    )
    return asking(found)
