"""Tickers grouped by reason: one cause often affects many."""

from collections.abc import Iterable, Sequence
from itertools import islice

from stockml.redaction import brief

MAX_NAMED, WHY = 20, 160  # in one line: reasons, and names of each; characters of a reason


def by_reason(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Each reason's names, from pairs (name, reason), in their order."""
    names_by_reason: dict[str, list[str]] = {}
    for name, why in pairs:
        names_by_reason.setdefault(why, []).append(name)
    return names_by_reason


def grouped_line(pairs: Sequence[tuple[str, str]], template: str, *, others: str = "") -> str:
    """Fill `template`, such as `{names}: {why}`, for each reason, join the texts, and count the
    names left out.

    others: where those are, as `: stockml status`.
    """
    shown, n_left = [], len(pairs)
    for why, names in islice(
        by_reason((name, brief(why, WHY)) for name, why in pairs).items(), MAX_NAMED
    ):
        shown.append(
            template.format(
                names=", ".join(names[:MAX_NAMED]) + ", …" * (len(names) > MAX_NAMED), why=why
            )
        )
        n_left -= len(names[:MAX_NAMED])
    return "; ".join([*shown, *([f"and {n_left} more{others}"] if n_left else [])])
