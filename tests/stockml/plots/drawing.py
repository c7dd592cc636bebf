"""What a figure shows, as text."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def described(figure: "Figure") -> str:
    """Every text, and of every line, band and bar its look, its ends and its extent.

    Dates are matplotlib's day numbers.
    """
    figure.draw_without_rendering()
    lines = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        lines += ["axes", *(f"  {line}" for line in _of_axes(axes))]
    return "\n".join(lines)


def _of_axes(axes: "Axes") -> Iterator[str]:
    from matplotlib.colors import to_hex

    yield f"{axes.get_title()}|{axes.get_xlabel()}|{axes.get_ylabel()}"
    yield _numbers([*axes.get_xlim(), *axes.get_ylim()])
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        yield " ".join(tick.get_text() for tick in ticks)
    for line in axes.lines:
        look = (line.get_color(), line.get_linewidth(), line.get_linestyle(), line.get_marker())
        shape = f"{line.get_drawstyle()} alpha {line.get_alpha()}"
        yield f"line {' '.join(map(str, look))} {shape}: {_points(line.get_xydata())}"
    for each in axes.collections:
        colour = to_hex((*each.get_facecolor(), *each.get_edgecolor())[0], keep_alpha=True)
        for path in each.get_paths():
            yield f"area {colour}: {_points(path.vertices)}"
    if axes.patches:
        corners = [
            patch.get_extents().transformed(axes.transData.inverted()) for patch in axes.patches
        ]
        yield f"bars: {_points(np.concatenate([box.get_points() for box in corners]))}"
    for text in sorted(axes.texts, key=lambda text: text.get_position()[1]):
        is_arrow = getattr(text, "arrow_patch", None) is not None
        at = _numbers([*text.xy, *text.xyann]) if is_arrow else ""  # type: ignore[attr-defined]
        yield f"text {text.get_color()} {text.get_text()}{at}"


def _points(points: Any) -> str:
    """How many, the first and the last, the least, the greatest and the mean of those known."""
    known = np.asarray(points, dtype=np.float64)
    known = known[np.isfinite(known).all(axis=1)]
    if not len(known):
        return f"{len(points)} points, none known"
    told = [known[0], known[-1], known.min(axis=0), known.max(axis=0), known.mean(axis=0)]
    return f"{len(points)} points, {len(known)} known: {_numbers(np.concatenate(told).tolist())}"


def _numbers(values: list[float]) -> str:
    return " ".join(f"{value:.6g}" for value in values)
