"""Figures say what they found, lose nothing at their edges, and come out the same every time."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.features.windows import split_origins
from stockml.forecasts.forecast import Forecast
from stockml.plots import comparison, diagnostics, forecast, style, training
from tests.support.nights import SETTINGS, assessed, history, recorded_night, series_until

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DAY = date(2013, 2, 28)


@cache
def past_forecasts() -> tuple[Forecast, ...]:
    sessions = series_until("IBM", DAY).sessions
    return tuple(assessed("IBM", sessions[i].item()).forecast for i in range(-120, 0, 24))


def _evolution() -> "Figure":
    series, found = series_until("IBM", DAY), assessed("IBM", DAY)
    at, start = found.test_origins[::5], series.mid[found.test_origins[::5], None]
    by_epoch = np.stack([start + share * (found.paths["LSTM"][::5] - start) for share in (-1.0, 0.0, 1.0)])
    return training.evolution("IBM", series.sessions, series.mid, at, by_epoch)


def _normalised() -> "Figure":
    series = series_until("IBM", DAY)
    moves = np.diff(np.log(series.mid), prepend=np.log(series.mid[0])) / 0.015
    return training.normalised("IBM", series.sessions, moves, moves / 2, "in units of 1.5 %")


def drawn(name: str) -> "Figure":
    series, found = series_until("IBM", DAY), assessed("IBM", DAY)
    sessions, mid, evaluation = series.sessions, series.mid, found.evaluation
    split = split_origins(len(mid), SETTINGS.evaluation)
    figures: dict[str, Callable[[], Any]] = {
        "forecast": lambda: forecast.forecast_fan("IBM", replace(found.forecast, weights=(0.4,) * 50), sessions, mid),
        "leads": lambda: forecast.skill_by_lead("IBM", evaluation),
        "ledger": lambda: diagnostics.ledger("IBM", past_forecasts(), sessions, mid),
        "empty ledger": lambda: diagnostics.ledger("IBM", (), sessions, mid),
        "calibration": lambda: diagnostics.calibration("IBM", found.band_scores, evaluation.origins),
        "residuals": lambda: diagnostics.residuals("IBM", sessions, mid, found.test_origins, found.paths["LSTM"]),
        "averages": lambda: training.averages("IBM", sessions, mid, evaluation),
        "history": lambda: training.price_history("IBM", sessions, mid, split),
        "normalised": _normalised,
        "training": lambda: training.training_curves("IBM", history()),
        "evolution": _evolution,
        "changes": lambda: comparison.nights(_before(), recorded_night(), sessions, mid),
    }
    return figures[name]()


def _before() -> Any:
    return recorded_night(day=date(2013, 2, 27), share=0.5)


TITLES = {
    "forecast": "IBM: 201.96 expected in 50 sessions, +0.0%",
    "leads": "IBM: the LSTM beats the last value at 49 of 50 leads",
    "ledger": "IBM: the published 80% bands have held",
    "empty ledger": "IBM: no published forecast has come due yet",
    "calibration": "IBM: the 80% bands held",
    "residuals": "IBM: forecasts lean low, by 3.3% at 50 sessions",
    "averages": "IBM: both averages lag, the last value alone is closer",
    "history": "IBM: 201.96 after 3,269 sessions, +5.3% a year",
    "normalised": "IBM: scaled by what was known",
    "training": "IBM: the validation loss is lowest after epoch 5 of 5",
    "evolution": "IBM: the test predictions are best after epoch 3 of 3",
    "changes": "IBM: tonight's model is better than the one of 2013-02-27",
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


@pytest.mark.parametrize("name", ["leads", "forecast"])
def test_labels_at_the_edge_do_not_overlap(name: str) -> None:
    figure = drawn(name)
    figure.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: float(box.y0))
    assert all(lower.y0 + 0.8 * lower.height <= upper.y0 for lower, upper in pairwise(boxes))


def test_no_skill_is_said_in_the_forecast_title() -> None:
    series, hopeless = series_until("IBM", DAY), replace(assessed("IBM", DAY).forecast, weights=(0.0,) * 50)
    figure = forecast.forecast_fan("IBM", hopeless, series.sessions, series.mid)
    assert figure.texts[0].get_text() == "IBM: no skill shown, so the last value 201.96 is published"
    near = replace(hopeless, weights=(1.0,) * 7 + (0.0,) * 43)
    figure = forecast.forecast_fan("IBM", near, series.sessions, series.mid)
    assert figure.texts[0].get_text() == "IBM: skill shown up to lead 7, then the last value 201.96"


def test_a_split_moves_past_forecasts_with_the_prices() -> None:
    """Halved prices, as after a split of two for one, leave the share inside the bands as it was."""
    series = series_until("IBM", DAY)
    titles = {
        diagnostics.ledger("IBM", past_forecasts(), series.sessions, series.mid * scale).texts[0].get_text()
        for scale in (1.0, 0.5)
    }
    assert len(titles) == 1


def test_changes_are_told_in_words() -> None:
    before, tonight = (
        _before(),
        recorded_night(code_hash="other", settings={**recorded_night().settings, "mode": "keep"}),
    )
    assert comparison.changed(before, tonight) == ["1 bar added", "mode auto → keep", "code changed"]


@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=15))
def test_labels_stand_apart_in_order_and_on_the_page(heights: list[float]) -> None:
    placed = style._spread(sorted(heights), 0.05)
    assert all(upper - lower >= 0.05 - 1e-9 for lower, upper in pairwise(placed))
    assert max(placed) <= 1.0 + 1e-9


def test_drawing_needs_no_display_and_leaves_no_global_state() -> None:
    code = (
        "import sys; from tests.stockml.plots.test_figures import drawn; from stockml.plots import style; "
        "style.png(drawn('forecast'));"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert ran.stdout == "False\n"
