"""Which of many nights brings up to date what they share: the last one at work, or one that finds it a minute old.

A page of all tickers costs as much as there are tickers: written after every night, five hundred would cost their
square.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: there every night does it
    fcntl = None  # type: ignore[assignment]

EVERY_S = 60.0
AT_WORK, SHOWN = "nights-at-work", "pages-shown"


@contextmanager
def at_work(locks: Path) -> Iterator[None]:
    """A night of this machine's is at work; a process that is killed is not."""
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / AT_WORK).open("ab") as file:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


def is_due(locks: Path, *, last_one: bool = True) -> bool:
    """Whether this night, which has ended, brings the pages up to date; the next is then asked again after a minute.

    last_one: whether it does as the last one at work, too.
    """
    shown = locks / SHOWN
    try:
        fresh = time.time() - shown.stat().st_mtime < EVERY_S
    except FileNotFoundError:
        fresh = False
    if fresh and not (last_one and _is_nobody_at_work(locks)):
        return False
    locks.mkdir(parents=True, exist_ok=True)
    shown.touch()
    return True


def _is_nobody_at_work(locks: Path) -> bool:
    if not fcntl:
        return True
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / AT_WORK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
