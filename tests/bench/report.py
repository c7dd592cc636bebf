"""The figures as one table: for the terminal, as Markdown, and as JSON."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from tests.bench.catalogue import BESIDE_IMPORTS, FIGURES, IMPORTS_WHERE_SET, SCALES, Figure
from tests.bench.measuring import Measured

COLUMNS = ("figure", "to reach", "median", "range", "runs", "first", "peak memory", "")
KNOWN = {figure.key: figure for figure in FIGURES}


def table(measured: Sequence[Measured], machine: Mapping[str, str]) -> Table:
    """The table for the terminal; figures that missed their target are red."""
    shown = Table(*COLUMNS, title=described(machine), title_justify="left")
    for one in measured:
        shown.add_row(*cells(one), style="red" if missed(one) else None)
    return shown


def markdown(measured: Sequence[Measured], machine: Mapping[str, str], notes: Sequence[str]) -> str:
    """The table in Markdown, with the notes below it."""
    rows = [
        COLUMNS,
        ("---", "---:", "---:", "---:", "---:", "---:", "---:", "---"),
        *map(cells, measured),
    ]
    lines = [
        described(machine),
        "",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        *(f"- {n}" for n in notes),
    ]
    return "\n".join(lines) + "\n"


def as_json(
    measured: Sequence[Measured], machine: Mapping[str, str], notes: Sequence[str]
) -> dict[str, Any]:
    """The figures as JSON values, in the measured units: seconds, bytes, FLOP/s."""
    figures = [
        one.asdict()
        | {
            "median": one.median,
            "says": KNOWN[one.figure].says,
            "limit": limit(one),
            "missed": missed(one),
        }
        for one in measured
    ]
    return {"machine": dict(machine), "figures": figures, "notes": list(notes)}


def notes(measured: Sequence[Measured]) -> list[str]:
    """The remark of each figure, and its ratio to the machine's speed where that is known."""
    said = [f"{KNOWN[one.figure].says}: {one.remark}" for one in measured if one.remark]
    for one in measured:
        if one.flop:
            low, middle, high = np.quantile(one.shares, [0.25, 0.5, 0.75])
            said.append(
                f"{KNOWN[one.figure].says}: {one.flop / 1e9:.0f} GFLOP in matrix products, "
                f"{one.flop / one.median / 1e9:.0f} GFLOP/s, {middle:.0%} ({low:.0%} to "
                f"{high:.0%}) of TensorFlow's float32 speed, measured before each run (the "
                "products are in bfloat16)"
            )
    floors = [(place, one.median) for place, one in enumerate(measured) if one.figure == "imports"]
    for place, one in enumerate(measured):
        if floors and one.figure in BESIDE_IMPORTS:
            before, after = (
                [s for at, s in floors if at < place],
                [s for at, s in floors if at > place],
            )
            said.append(_beside(one, [*before[-1:], *after[:1]]))
    return said


def _beside(one: Measured, imports: Sequence[float]) -> str:
    """Compare a figure with the imports measured before and after it. imports: CPU seconds."""
    figure, here = KNOWN[one.figure], statistics.fmean(imports)
    goal = (figure.limit or 0) * SCALES[figure.unit] / IMPORTS_WHERE_SET
    beside = " and ".join(f"{each:.2f}" for each in imports)
    return (
        f"{figure.says}: {one.median / here:.3g} times the imports' {beside} CPU seconds before "
        f"and after it; to reach are {goal:.3g} times, of {IMPORTS_WHERE_SET} where that was set"
    )


def described(machine: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def cells(one: Measured) -> tuple[str, ...]:
    """A row of the table, as text."""
    figure = KNOWN[one.figure]
    goal = "" if figure.limit is None else f"≤ {figure.limit:g} {figure.unit}"
    low, high = (_number(value, figure) for value in (min(one.values), max(one.values)))
    first = "" if one.first is None else f"{_number(one.first, figure)} {figure.unit}"
    return (
        figure.says,
        goal,
        f"{_number(one.median, figure)} {figure.unit}",
        f"{low}–{high}" if len(one.values) > 1 else "",
        str(len(one.values)),
        first,
        _memory(one),
        "missed" if missed(one) else "" if figure.limit is None else "reached",
    )


def limit(one: Measured) -> float | None:
    """The figure's target in seconds or bytes; None if it has none."""
    figure = KNOWN[one.figure]
    return None if figure.limit is None else figure.limit * SCALES[figure.unit]


def missed(one: Measured) -> bool:
    most = limit(one)
    return most is not None and one.median > most


def _memory(one: Measured) -> str:
    largest = f"{one.peak_bytes / 1e9:.2f} GB"
    return (
        largest
        if one.together_bytes is None
        else f"{largest}, all {one.together_bytes / 1e9:.2f} GB"
    )


def _number(value: float, figure: Figure) -> str:
    scaled = value / SCALES[figure.unit]
    return f"{scaled:.0f}" if scaled >= 100 else f"{scaled:.3g}"
