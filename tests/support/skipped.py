"""What was not run because something is missing, in one line that also says how to run it."""

from collections import Counter
from collections.abc import Iterable

SKIPPED = "Skipped: "
FULL = "the tutorial at full size takes minutes: run it with `.venv/bin/python -m pytest -m tutorial_full`"


def said(reasons: Iterable[str]) -> str:
    """The skipped tests' reasons, each once with its number; nothing where none was skipped."""
    counts = Counter(reason.removeprefix(SKIPPED) for reason in reasons)
    total = sum(counts.values())
    each = "; ".join(f"{count} × {reason}" for reason, count in counts.most_common())
    return f"{total} test{'' if total == 1 else 's'} not run: {each}" if total else ""
