"""The longest that a test waits for what must happen. Only failing tests wait that long, however
busy the machine."""

from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

T = TypeVar("T")
PATIENCE_S = 180.0


def until(found: Callable[[], T], every_s: float = 0.05) -> T:
    """Call `found` repeatedly and return its first truthy result. Raises RetryError after
    PATIENCE_S."""
    asking = Retrying(
        retry=retry_if_result(lambda answer: not answer),
        wait=wait_fixed(every_s),
        stop=stop_after_delay(PATIENCE_S),
    )
    return asking(found)
