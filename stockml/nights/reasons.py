"""Many tickers and why each is told of, those of one reason together: what ails one of forty often ails them all."""

from collections.abc import Iterable, Sequence
from itertools import islice

from stockml.redaction import brief

MAX_NAMED, WHY = 20, 160  # in one line: reasons, and names of each; characters of a reason


def by_reason(told: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The names of each reason, from pairs of both, in the order in which they come."""
    found: dict[str, list[str]] = {}
    for name, why in told:
        found.setdefault(why, []).append(name)
    return found


def grouped_line(told: Sequence[tuple[str, str]], shape: str, *, others: str = "") -> str:
    """Join what `shape`, such as `{names}: {why}`, makes of each reason, and count the names without room there.

    others: says where those are, as `: stockml status`.
    """
    shown, left = [], len(told)
    for why, names in islice(by_reason((name, brief(why, WHY)) for name, why in told).items(), MAX_NAMED):
        shown.append(shape.format(names=", ".join(names[:MAX_NAMED]) + ", …" * (len(names) > MAX_NAMED), why=why))
        left -= len(names[:MAX_NAMED])
    return "; ".join([*shown, *([f"and {left} more{others}"] if left else [])])
