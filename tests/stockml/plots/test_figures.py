"""Figures show what they are given, say what they found, lose nothing at their edges, and come out
the same every time."""

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.text import Text

from stockml.evaluation.path_scores import LAST_CLOSE, PUBLISHED
from stockml.plots import diagnostics, night, style
from stockml.plots.forecast import scale_of, skill_by_lead
from stockml.plots.style import COLOURS
from stockml.plots.training import averages
from tests.stockml.plots.drawing import described
from tests.stockml.plots.recorded import (
    DAY,
    KEPT,
    both,
    drawn,
    makers,
    night_before,
    series,
    tables,
    tonight,
    with_hole,
)
from tests.support.colours import SEEN, distances, linear
from tests.support.kept import check_kept, read_kept
from tests.support.nights import assessed, recorded_night
from tests.support.patience import PATIENCE_S

if TYPE_CHECKING:
    pass

CROWDED = ("leads", "forecast", "calibration", "averages", "training", "changes")


@pytest.mark.parametrize("name", [name for name in read_kept(KEPT) if not name.startswith("table")])
def test_a_figure_shows_what_it_did_and_all_of_it_can_be_read(name):
    figure = drawn(name)
    check_kept(KEPT, name, described(figure))
    if not name.startswith("tutorial"):
        check_nothing_is_cut_off(figure)
        check_contrast(figure)
    if name in CROWDED:
        boxes = [text.get_window_extent() for text in figure.axes[0].texts]
        boxes = pairwise(sorted(boxes, key=lambda box: box.y0))
        assert all(lower.y0 + 0.8 * lower.height <= upper.y0 for lower, upper in boxes)


def test_a_table_of_the_tutorial_says_what_it_did_and_nothing_drawn_is_not_kept():
    for name, table in tables().items():
        check_kept(KEPT, name, table)
    assert {*read_kept(KEPT)} == {*makers(), *tables()}


def check_nothing_is_cut_off(figure):
    right, top = figure.bbox.max + 1
    for axes in figure.axes:
        shown = [*figure.texts, *axes.texts, axes.xaxis.label, axes.yaxis.label]
        for text in (text for text in shown if text.get_text()):
            box = text.get_window_extent()
            inside = 0 <= box.x0 <= box.x1 <= right and 0 <= box.y0 <= box.y1 <= top
            assert inside, f"{text.get_text()!r} leaves the page: {box}"


def check_contrast(figure):
    """With white: 4.5 of text, 3 of lines and dots (WCAG 2.1, 1.4.3 and 1.4.11)."""
    texts = {text.get_color() for text in figure.findobj(Text)}
    assert {colour for colour in texts if contrast(colour) < 4.5} == set()
    lines = {
        line.get_color() for axes in figure.axes for line in axes.lines if line.get_alpha() is None
    }
    assert {colour for colour in lines if contrast(colour) < 3} <= {style.GRID}


def contrast(colour):
    return float(1.05 / (linear(colour) @ [0.2126, 0.7152, 0.0722] + 0.05))


@pytest.mark.parametrize("sight", SEEN)
def test_no_two_colours_can_be_mistaken_for_each_other(sight):
    """20 tells thin lines apart."""
    least = 20 if sight == "all" else 10
    assert {pair: apart for pair, apart in distances(COLOURS, sight).items() if apart < least} == {}


def test_a_matplotlibrc_of_the_user_affects_no_plot(tmp_path):
    usual = style.png(drawn("leads"))
    with rc_context({"lines.linewidth": 9, "axes.facecolor": "black", "text.usetex": True}):
        [saved] = style.save({"leads": lambda: drawn("leads")}, tmp_path)
    assert saved.read_bytes() == usual


@pytest.mark.slow
def test_drawing_needs_no_display_and_leaves_no_global_state():
    code = (
        "import sys; from tests.stockml.plots.recorded import drawn; from stockml.plots import "
        "style; style.png(drawn('forecast'));print('matplotlib.pyplot' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=PATIENCE_S, capture_output=True, text=True
    )
    assert ran.stdout == "False\n"


def test_fewer_than_thirty_origins_are_no_finding():
    """As a share has in its first year and a half: three origins gave a title of a month's fall."""
    for origins, is_few in ((29, True), (30, False)):
        found, sessions, close = assessed("IBM", DAY), series().sessions, series().close
        at, paths = found.test_origins[:origins], found.paths[PUBLISHED][:origins]
        scored = replace(found.evaluation, origins=origins)
        figures = (
            diagnostics.residuals("NEW", sessions, close, close, at, paths),
            diagnostics.calibration("NEW", found.band_scores, origins),
            skill_by_lead("NEW", scored),
        )
        assert ["too few to judge" in title_of(figure) for figure in figures] == [is_few] * 3
        judged = "is closer" in title_of(averages("NEW", sessions, close, "close", scored))
        assert judged != is_few


def title_of(figure):
    return figure.texts[0].get_text()


def test_a_title_does_not_claim_what_is_within_the_noise():
    found = assessed("IBM", DAY).evaluation
    published = found.comparison(PUBLISHED, LAST_CLOSE)
    noisy = replace(published, test=replace(published.test, p_value=0.05))
    figure = skill_by_lead("IBM", replace(found, comparisons=(noisy,)))
    assert title_of(figure).endswith(" of 50 leads, could be luck")


def test_a_forecast_whose_origin_has_no_bar_any_more_is_drawn_as_it_was_made():
    sessions, close = series().sessions, series().close
    assert scale_of(tonight(), sessions, both(close / 2)) == pytest.approx(0.5), "after a split"
    assert scale_of(tonight(), sessions[:-1], both(close[:-1])) == 1.0


def test_realised_volatility_is_of_the_sessions_after_each_origin_and_of_none_over_a_hole():
    whole, at = series(), np.arange(1_970, 2_030)
    squares = [np.diff(np.log(whole.close[origin : origin + 21])) ** 2 for origin in at]
    expected = (252 * np.mean(squares, axis=1)) ** 0.5
    assert diagnostics.realised_after(whole, at, 20) == pytest.approx(expected)
    came = diagnostics.realised_after(with_hole(whole, 2_000, 250), at, 20)
    assert at[np.isnan(came)].tolist() == [*range(1_980, 2_000)]  # the last 20 before it


def test_what_differs_between_two_nights_is_told():
    before = night_before()
    settings = {**before.settings, "mode": "keep"}
    tonights = recorded_night(code_hash="other", settings=settings)
    told = ["1 bar added", "mode auto → keep", "code changed"]
    assert night.changed(before, tonights) == told
    many = replace(tonights, rows_restated=3, settings=settings | {"a": (1, 2), "b": 2, "c": 3})
    told = ["1 bar added, 3 restated", "a None → 1 2", "b None → 2", "2 more settings"]
    assert night.changed(before, many) == [*told, "code changed"]
