"""Work measured by counting calls, so that tests need no clock."""

import sys
from collections.abc import Callable


def calls_of(work: Callable[[], object]) -> int:
    """Count the function calls of `work`, C functions included; the count does not depend on the machine's load."""
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
