"""Work as a count, where a test would else have to look at a clock."""

import sys
from collections.abc import Callable


def calls_of(work: Callable[[], object]) -> int:
    """How many functions the work calls, those in C included: a count that no busy machine changes."""
    count, before = 0, sys.getprofile()

    def called(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
