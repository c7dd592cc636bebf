"""How figures look: one palette, titles that say what was found, labels where the lines are.

Draws on Figure objects, so nothing is shared and no display is needed.
"""

from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stockml.features.origins import holes
from stockml.forecasts.forecast import Price
from stockml.forecasts.ledger_scores import MIN_INDEPENDENT, TOO_FEW
from stockml.storage.arrays import Days, Floats
from stockml.storage.files import write_atomically
from stockml.tickers import exchange

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#22303c"
MUTED = "#647480"
GRID = "#e6eaee"
BEHIND = "#8996a0"  # what another line is drawn over; its name in MUTED
TRUTH = "#2f3942"
MODEL = "#0f6e84"
ACCENT = "#bd4b33"
COLOURS = {  # each dark enough for text on white
    "LSTM": MODEL,
    "champion": "#6a3fa0",
    "published": "#00864e",
    "last close": TRUTH,
    "without network": "#c43d9a",
    "drift": "#9a6700",
    "momentum": "#a03018",
    "EMA": "#747474",
    "standard average": "#554227",
}
# 1,017 pixels wide: all that MLflow's page shows on a screen of 1,280
WIDTH, HEIGHT, DPI = (
    9.6,
    5.4,
    106,
)
LABEL_GAP = 0.052  # the least distance of names at the edge, as a share of the axes' height
DOT_OF_ONE = {1: "o"}  # by how many points a line has: one alone is drawn as a dot
PRICES: Mapping[Price, str] = {"close": "close", "mid": "mid price"}
End = tuple[str, float, str]  # of a line: its name, its y in the axes' data, its colour
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.limits": (-5, 12),
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": False,  # as in every other figure
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "text.color": INK,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


def canvas(
    title: str,
    subtitle: str = "",
    *,
    rows: int = 1,
    columns: int = 1,
    height: float = HEIGHT,
    **layout: Any,
) -> "tuple[Figure, list[Axes]]":
    """An empty figure with the finding as its title and what is shown as its subtitle; axes row by
    row."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")
        axes = figure.subplots(rows, columns, squeeze=False, **layout)
        head = 0.72 / height
        engine: Any = figure.get_layout_engine()
        engine.set(rect=(0.01, 0.01, 0.98, 0.98 - head), h_pad=0.08, w_pad=0.08)
        figure.text(
            0.018, 1 - 0.20 / height, title, fontsize=14, fontweight="bold", va="top", color=INK
        )
        figure.text(0.018, 1 - 0.53 / height, subtitle, fontsize=10.5, va="top", color=MUTED)
    return figure, list(axes.flat)


def too_few(observations: int) -> str:
    """The end of a title whose finding rests on too few observations; else empty."""
    return f", {TOO_FEW}" if observations < MIN_INDEPENDENT else ""


def price_label(ticker: str, price: Price = "close") -> str:
    """The label of a price axis, with the currency of the ticker's exchange where known."""
    unit, name = exchange(ticker)[1], PRICES[price]
    return f"{name}, {unit}" if unit else name


def dates(axes: "Axes") -> None:
    """Month and year under a time axis, no more of them than fit."""
    from matplotlib import dates as marks

    locator = marks.AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    formatter = marks.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)


def png(figure: "Figure") -> bytes:
    """The figure as PNG in 256 colours, a third of the bytes; wide titles shrink. Equal figures
    give equal bytes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    with rc_context(STYLE):
        drawn: Any = FigureCanvasAgg(figure)
        for text in figure.texts:  # the glyphs' widths go by whole pixels, so one step may not do
            room = figure.bbox.width - 2 * text.get_window_extent(drawn.get_renderer()).x0
            while (over := text.get_window_extent(drawn.get_renderer()).width / room) > 1:
                text.set_fontsize(text.get_fontsize() / max(over, 1.01))
        drawn.draw()
    picture = Image.frombuffer("RGBA", drawn.get_width_height(), drawn.buffer_rgba()).convert("RGB")
    content = BytesIO()
    picture.quantize(method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        content, "PNG", dpi=(DPI, DPI)
    )
    return content.getvalue()


def save(makers: "Mapping[str, Callable[[], Figure]]", folder: Path) -> tuple[Path, ...]:
    """Make each figure and write it as <name>.png, atomically; returns the files. No matplotlibrc
    affects them."""
    from matplotlib import rc_context, rcdefaults

    paths = {folder / f"{name}.png": make for name, make in makers.items()}
    with rc_context():
        rcdefaults()
        for path, make in paths.items():
            write_atomically(path, png(make()))
    return tuple(paths)


def over_time(axes: "Axes", label: str, ends: Iterable[End] = ()) -> None:
    """Finish axes over dates: lines from edge to edge, a label for the heights, and the lines'
    names."""
    axes.margins(x=0)
    axes.set_ylabel(label)
    if axes.get_ylim()[1] >= 10_000:
        axes.yaxis.set_major_formatter("{x:,.10g}")
    dates(axes)
    label_ends(axes, ends)


def draw_price(axes: "Axes", sessions: Days, prices: Floats, colour: str, linewidth: float) -> None:
    """Draw prices over their sessions; a hole breaks the line. sessions, prices: (n,)."""
    after = holes(sessions)
    broken = np.insert(sessions, after, sessions[after]), np.insert(prices, after, np.nan)
    axes.plot(*broken, color=colour, linewidth=linewidth)


def mark(axes: "Axes", x: Any, name: str, colour: str) -> None:
    """A dashed line from bottom to top, named above it: where a part of the series begins."""
    axes.axvline(x, color=colour, linewidth=1, linestyle=(0, (4, 2)))
    axes.annotate(f" {name}", (x, 1), xycoords=("data", "axes fraction"), color=colour, va="bottom")


def label_ends(axes: "Axes", ends: Iterable[End]) -> None:
    """Name lines at the right edge, in their colours, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    placed = sorted(((y - low) / (high - low), text, colour) for text, y, colour in ends)
    heights = _spread([height for height, _, _ in placed], LABEL_GAP)
    for height, (_, text, colour) in zip(heights, placed, strict=True):
        axes.text(
            1.012, height, text, transform=axes.transAxes, color=colour, va="center", fontsize=10
        )


def _spread(heights: list[float], gap: float) -> Floats:
    """The given ascending heights, moved up and then down as far as needed to stand `gap` apart and
    within 0 to 1."""
    apart = gap * np.arange(len(heights))
    up = np.maximum.accumulate(np.clip(heights, 0.0, 1.0) - apart) + apart
    return np.asarray(np.minimum(up, 1.0 - apart[::-1]), dtype=np.float64)
