"""Figures say what they found, lose nothing at their edges, and come out the same every time."""

import itertools
import re
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.text import Text

from stockml.plots import forecast, style
from stockml.plots.style import COLOURS, price_label
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


def test_a_long_title_is_made_small_enough_for_the_page() -> None:
    """As of a share at parts of a cent, or with a long symbol; one that fits keeps its size."""
    said = "RELIANCE.BSE: 0.00005256 to 0.0001250 in 50 sessions (80%), by the network and the regression"
    figures = [style.canvas(said, 2 * said)[0], style.canvas(said[:40], said[:40])[0]]
    assert all(style.png(figure) for figure in figures)
    long, short = ([text.get_window_extent().x1 for text in figure.texts] for figure in figures)
    page = figures[0].bbox.width
    assert all(0.9 * page < edge < page for edge in long)
    assert [text.get_fontsize() for text in figures[1].texts] == [14, 10.5]
    assert all(edge < 0.6 * page for edge in short)


@pytest.mark.parametrize("prices", [(1_600_000.0, 2_400_000.0), (500_000.0, 500_020.0)])
def test_prices_in_the_millions_stand_whole_at_their_axis(prices: tuple[float, float]) -> None:
    figure, (axes,) = style.canvas("a share as dear as BRK-A", "")
    axes.plot(prices)
    style.over_time(axes, "")
    figure.draw_without_rendering()
    assert axes.yaxis.get_offset_text().get_text() == ""
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert [float(tick.replace(",", "")) for tick in ticks] == pytest.approx(axes.get_yticks())
    assert all(re.fullmatch(r"[0-9],[0-9]{3},[0-9]{3}|[0-9]{3},[0-9]{3}(\.[0-9])?", tick) for tick in ticks), ticks


def test_titles_do_not_judge_what_few_independent_origins_may_show_by_luck() -> None:
    titles = [drawn(name).texts[0].get_text() for name in ("calibration", "residuals")]
    assert [title for title in titles if re.search("wide|narrow|promised|lean", title)] == []


@pytest.mark.parametrize("name", ["forecast", "calibration", "changes"])
def test_the_same_figure_gives_the_same_bytes(name: str) -> None:
    assert style.png(drawn(name)) == style.png(drawn(name))


def test_a_matplotlibrc_of_the_user_affects_no_plot(tmp_path: Path) -> None:
    theirs = {"lines.linewidth": 9, "xtick.direction": "in", "axes.facecolor": "black", "text.usetex": True}
    made = {"forecast": partial(drawn, "forecast")}
    (usual,) = style.save(made, tmp_path / "usual")
    with rc_context(theirs):
        (saved,) = style.save(made, tmp_path / "theirs")
    assert saved.read_bytes() == usual.read_bytes()


@pytest.mark.parametrize("name", ["leads", "forecast", "calibration", "averages", "training", "changes"])
def test_labels_at_the_edge_do_not_overlap(name: str) -> None:
    figure = drawn(name)
    figure.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: float(box.y0))
    assert all(lower.y0 + 0.8 * lower.height <= upper.y0 for lower, upper in pairwise(boxes))


@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=15))
def test_labels_stand_apart_in_order_and_on_the_page(heights: list[float]) -> None:
    placed = style._spread(sorted(heights), 0.05)
    assert all(upper - lower >= 0.05 - 1e-9 for lower, upper in pairwise(placed))
    assert -1e-9 <= min(placed) <= max(placed) <= 1.0 + 1e-9


def test_drawing_needs_no_display_and_leaves_no_global_state() -> None:
    code = (
        "import sys; from tests.stockml.plots.recorded import drawn; from stockml.plots import style; "
        "style.png(drawn('forecast'));"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_S, capture_output=True, text=True)
    assert ran.stdout == "False\n"


@pytest.mark.parametrize("sight", SEEN)
def test_no_two_colours_can_be_mistaken_for_each_other(sight: str) -> None:
    """20 tells thin lines apart."""
    least = 20 if sight == "all" else 10
    assert {pair: apart for pair, apart in distances(COLOURS, sight).items() if apart < least} == {}


def test_the_unit_of_a_price_is_its_exchanges() -> None:
    assert [price_label(ticker) for ticker in ("IBM", "TSCO.LON", "X.UNKNOWN")] == [
        "close, $", "close, pence", "close"
    ]  # fmt: skip


def test_a_minus_on_an_axis_is_that_of_every_other_figure() -> None:
    (axes,) = drawn("leads").axes
    with rc_context(style.STYLE):
        assert "-0.3" in [label.get_text() for label in axes.get_yticklabels()]


def test_in_grey_lines_are_told_apart_by_their_dashes() -> None:
    (axes,) = drawn("leads").axes
    drawn_as = [str(line._unscaled_dash_pattern) for line in axes.lines]  # type: ignore[attr-defined]
    assert len({*drawn_as}) == len(axes.lines) - 1, "only what is published, wide, and the last close, level, are solid"
    as_wide = {name: width * np.array(dashes) for name, (width, dashes) in forecast.LINES.items()}
    alike = [
        {a, b}
        for (a, one), (b, other) in itertools.combinations(as_wide.items(), 2)
        if len(one) == len(other) and np.abs(np.log(one / other)).max(initial=0) < np.log(1.5)
    ]
    assert alike == [], "the dashes or the gaps of one are half as long again, as drawn"


@pytest.mark.parametrize("name", TITLES)
def test_what_is_drawn_stands_out_from_the_page(name: str) -> None:
    """Contrast with white: 4.5 of text, 3 of lines and dots (WCAG 2.1, 1.4.3 and 1.4.11)."""
    figure = drawn(name)
    figure.draw_without_rendering()
    pale = {text.get_text(): text.get_color() for text in figure.findobj(Text) if contrast(text.get_color()) < 4.5}
    assert pale == {}
    lines = {line.get_color() for axes in figure.axes for line in axes.lines if line.get_alpha() is None}
    assert {colour for colour in lines if contrast(colour) < 3} <= {style.GRID}


def contrast(colour: str) -> float:
    return float(1.05 / (linear(colour) @ [0.2126, 0.7152, 0.0722] + 0.05))


@pytest.mark.parametrize(("first", "days"), [("2017-04-28", 140), ("2016-11-01", 140), ("2017-09-04", 20)])
def test_an_axis_over_dates_names_the_year_even_where_no_january_is_on_it(first: str, days: int) -> None:
    figure, (axes,) = style.canvas("a title", "a subtitle")
    axes.plot(np.datetime64(first, "D") + np.arange(days), np.arange(days))
    style.over_time(axes, "price")
    style.png(figure)
    shown = [*(label.get_text() for label in axes.get_xticklabels()), axes.xaxis.get_offset_text().get_text()]
    assert any("2017" in text for text in shown), shown
