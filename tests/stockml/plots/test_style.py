"""Figures say what they found, lose nothing at their edges, and come out the same every time."""

import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib import rc_context
from matplotlib.text import Text

from stockml.plots import style
from stockml.plots.style import COLOURS
from tests.stockml.plots.recorded import drawn
from tests.support.colours import SEEN, distances, linear
from tests.support.patience import PATIENCE_S

TITLES = {
    "forecast": "IBM: 18",
    "volatility": "IBM: 14.",
    "leads": "IBM: what is published beats the last close at",
    "ledger": "IBM: live 80% bands have held",
    "calibration": "IBM: the 80% bands held 8",
    "residuals": "IBM: after 50 sessions, the price was +3.1% from the forecast on average",
    "averages": "IBM: both averages lag, the last close alone is closer",
    "history": "IBM: 200.83 after 3,269 sessions, +5.5% a year",
    "normalised": "IBM: scaled by what was known",
    "training": "IBM: the validation loss is lowest after epoch 5 of 5",
    "evolution": "IBM: the test predictions are best after epoch 4 of 4",
    "changes": "IBM: 14.",
}


@pytest.mark.parametrize("name", TITLES)
def test_the_title_says_what_was_found_and_nothing_is_cut_off(name: str) -> None:
    figure = drawn(name)
    assert figure.texts[0].get_text().startswith(TITLES[name])
    figure.draw_without_rendering()
    page = figure.bbox
    for axes in figure.axes:
        shown = [*figure.texts, *axes.texts, axes.xaxis.label, axes.yaxis.label]
        for text in (text for text in shown if text.get_text()):
            box = text.get_window_extent()
            inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 + 1 and box.y1 <= page.y1 + 1
            assert inside, f"{text.get_text()!r} leaves the page: {box} in {page}"


@pytest.mark.parametrize("name", ["forecast", "calibration", "changes"])
def test_the_same_figure_gives_the_same_bytes(name: str) -> None:
    assert style.png(drawn(name)) == style.png(drawn(name))


def test_a_matplotlibrc_of_the_user_affects_no_plot(tmp_path: Path) -> None:
    theirs = {
        "lines.linewidth": 9,
        "xtick.direction": "in",
        "axes.facecolor": "black",
        "text.usetex": True,
    }
    made = {"forecast": partial(drawn, "forecast")}
    (usual,) = style.save(made, tmp_path / "usual")
    with rc_context(theirs):
        (saved,) = style.save(made, tmp_path / "theirs")
    assert saved.read_bytes() == usual.read_bytes()


@pytest.mark.parametrize(
    "name", ["leads", "forecast", "calibration", "averages", "training", "changes"]
)
def test_labels_at_the_edge_do_not_overlap(name: str) -> None:
    figure = drawn(name)
    figure.draw_without_rendering()
    boxes = sorted(
        (text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: float(box.y0)
    )
    assert all(lower.y0 + 0.8 * lower.height <= upper.y0 for lower, upper in pairwise(boxes))


@pytest.mark.slow
def test_drawing_needs_no_display_and_leaves_no_global_state() -> None:
    code = (
        "import sys; from tests.stockml.plots.recorded import drawn; from stockml.plots import "
        "style; style.png(drawn('forecast'));print('matplotlib.pyplot' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=PATIENCE_S, capture_output=True, text=True
    )
    assert ran.stdout == "False\n"


@pytest.mark.parametrize("sight", SEEN)
def test_no_two_colours_can_be_mistaken_for_each_other(sight: str) -> None:
    """20 tells thin lines apart."""
    least = 20 if sight == "all" else 10
    assert {pair: apart for pair, apart in distances(COLOURS, sight).items() if apart < least} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", TITLES)
def test_what_is_drawn_stands_out_from_the_page(name: str) -> None:
    """Contrast with white: 4.5 of text, 3 of lines and dots (WCAG 2.1, 1.4.3 and 1.4.11)."""
    figure = drawn(name)
    figure.draw_without_rendering()
    pale = {
        text.get_text(): text.get_color()
        for text in figure.findobj(Text)
        if contrast(text.get_color()) < 4.5
    }
    assert pale == {}
    lines = {
        line.get_color() for axes in figure.axes for line in axes.lines if line.get_alpha() is None
    }
    assert {colour for colour in lines if contrast(colour) < 3} <= {style.GRID}


def contrast(colour: str) -> float:
    return float(1.05 / (linear(colour) @ [0.2126, 0.7152, 0.0722] + 0.05))
