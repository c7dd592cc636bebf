"""One line about the tests that were skipped because something is missing, with how to run them."""

from collections import Counter
from collections.abc import Iterable

SKIPPED = "Skipped: "
FULL = "the tutorial at full size takes minutes: run it with `.venv/bin/python -m pytest -m tutorial_full`"


def said(reasons: Iterable[str]) -> str:
    """List each reason with its number of skipped tests; empty if none was skipped."""
    counts = Counter(reason.removeprefix(SKIPPED) for reason in reasons)
    total = sum(counts.values())
    each = "; ".join(f"{count} × {reason}" for reason, count in counts.most_common())
    return f"{total} test{'' if total == 1 else 's'} not run: {each}" if total else ""
