"""What a figure shows, read back in the units of its axes; dates are matplotlib's date numbers."""

from typing import TYPE_CHECKING, Any

import numpy as np

from stockml.storage.arrays import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

Curve = tuple[str, Any, Any]  # colour, x, y
Band = tuple[str, float, Any, Any, Any]  # colour, alpha, x, low, high


def as_numbers(values: Any) -> Floats:
    """Days as matplotlib's date numbers; numbers as they are."""
    from matplotlib.dates import date2num

    found = np.atleast_1d(np.asarray(values))
    return np.asarray(date2num(found) if found.dtype.kind == "M" else found, dtype=np.float64)


def curves(axes: "Axes") -> "list[Line2D]":
    """The lines given point by point, in the order they were drawn."""
    return [line for line in axes.lines if line.get_transform() is axes.transData]


def check_curves(axes: "Axes", *expected: Curve) -> None:
    """The axes have these lines, drawn in this order, and no other."""
    drawn = curves(axes)
    assert [line.get_color() for line in drawn] == [colour for colour, _, _ in expected]
    for line, (colour, x, y) in zip(drawn, expected, strict=True):
        np.testing.assert_allclose(
            line.get_xdata(orig=False), as_numbers(x), rtol=1e-12, err_msg=f"x of {colour}"
        )
        np.testing.assert_allclose(
            line.get_ydata(orig=False), as_numbers(y), rtol=1e-9, err_msg=f"y of {colour}"
        )


def check_bands(axes: "Axes", *expected: Band) -> None:
    """The axes have these filled bands, drawn in this order, and no other."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba

    drawn = [each for each in axes.collections if isinstance(each, PolyCollection)]
    assert len(drawn) == len(expected)
    for polygon, (colour, alpha, x, low, high) in zip(drawn, expected, strict=True):
        assert tuple(polygon.get_facecolor()[0]) == to_rgba(colour, alpha)
        (path,) = polygon.get_paths()
        n = len(low)  # a point, the lower side, a point, the upper side backwards, a point
        lower, upper = path.vertices[1 : n + 1], path.vertices[n + 2 : 2 * n + 2][::-1]
        for side, prices in ((lower, low), (upper, high)):
            np.testing.assert_allclose(side[:, 0], as_numbers(x), rtol=1e-12)
            np.testing.assert_allclose(side[:, 1], prices, rtol=1e-9)


def levels(axes: "Axes") -> list[tuple[str, float]]:
    """Lines right across the axes: colour and height, in the order they were drawn."""
    across = axes.get_yaxis_transform(which="grid")
    return [
        (line.get_color(), float(line.get_ydata()[0]))
        for line in axes.lines
        if line.get_transform() is across
    ]


def marks(axes: "Axes") -> list[tuple[str, float]]:
    """Lines from bottom to top: colour and place, in the order they were drawn."""
    up = axes.get_xaxis_transform(which="grid")
    drawn = [line for line in axes.lines if line.get_transform() is up]
    return [(line.get_color(), float(line.get_xdata(orig=False)[0])) for line in drawn]


def labels(axes: "Axes") -> list[tuple[str, str]]:
    """The texts in the axes from bottom to top: text and colour."""
    return [
        (text.get_text(), text.get_color())
        for text in sorted(axes.texts, key=lambda text: text.get_position()[1])
    ]


def in_order(ends: list[tuple[str, float, str]]) -> list[tuple[str, str]]:
    """How labels at the edge should be ordered: by the value each names. ends: (text, value,
    colour)."""
    return [(text, colour) for text, _, colour in sorted(ends, key=lambda end: end[1])]


def check_holds(axes: "Axes", values: Any) -> None:
    """All these values are within the vertical axis."""
    low, high = axes.get_ylim()
    assert low <= np.nanmin(values) <= np.nanmax(values) <= high


def days_shown(axes: "Axes") -> tuple[float, float]:
    """The limits of a time axis that has no margin."""
    return tuple(float(limit) for limit in axes.get_xlim())  # type: ignore[return-value]
