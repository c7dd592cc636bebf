"""Last night against tonight: both forecasts over the price, and every figure in its night's column."""

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from stockml.nights.record import Night
from stockml.plots import comparison
from stockml.plots.style import COLOURS, MODEL, TRUTH
from tests.stockml.plots.drawing import (
    as_numbers,
    check_bands,
    check_curves,
    check_holds,
    days_shown,
    in_order,
    labels,
)
from tests.stockml.plots.recorded import drawn, last_night, night_before, series
from tests.support.nights import recorded_night

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEFORE = COLOURS["standard average"]


def test_both_forecasts_are_drawn_from_their_origins_over_the_last_40_sessions() -> None:
    axes, _ = drawn("changes").axes
    bands, curves, ends = [], [], []
    for night, colour in ((night_before(), BEFORE), (last_night(), MODEL)):
        said = night.forecast
        assert said
        days = np.array([said.origin, *said.sessions], dtype="datetime64[D]")
        low, high = ([said.last_value, *side] for side in (said.band(80).low, said.band(80).high))
        bands.append((colour, 0.25, days, low, high))
        curves.append((colour, days, [said.last_value, *said.path]))
        ends.append((f"{said.path[-1]:.2f}", said.path[-1], colour))
    check_bands(axes, *bands)
    check_curves(axes, (TRUTH, series().sessions[-40:], series().mid[-40:]), *curves)
    assert labels(axes) == in_order(ends)
    assert days_shown(axes) == tuple(as_numbers(np.array([series().sessions[-40], days[-1]])))
    check_holds(axes, [*series().mid[-40:], *bands[1][3], *bands[1][4]])
    assert axes.get_ylabel() == "mid price, 80% bands"


def test_every_figure_stands_in_its_nights_column() -> None:
    _, axes = drawn("changes").axes
    before, tonight = (shown(night) for night in (night_before(), last_night()))
    assert table(axes) == [
        ("", "2013-02-27", "2013-02-28"),
        *((name, before[name], tonight[name]) for name in before),
    ]


def shown(night: Night) -> dict[str, str]:
    """The column of one night."""
    found, said = night.metrics, night.forecast
    assert said
    assert night.verdict
    return {
        "skill of the LSTM": f"{found['lstm/skill']:+.4f}",
        "skill of the champion": f"{found['champion/skill']:+.4f}",
        "MSE of the LSTM": f"{found['lstm/mse']:.6f}",
        "MSE of the last value": f"{found['baselines/last_value_mse']:.6f}",
        "inside the 80% bands": f"{100 * found['intervals/coverage_80']:.1f}%",
        "published beat last value by": f"{found['answer/beats_last_value_live_pct']:+.1f}%",
        "end of the forecast": f"{said.path[-1]:.2f}",
        "chance of a rise": f"{100 * said.probability_of_rise:.0f}%",
        "trained": night.mode,
        "promoted": "yes" if night.verdict.promoted else "no",
    }


def table(axes: "Axes") -> list[tuple[str, ...]]:
    """The texts as rows from top to bottom, each from left to right."""
    rows: dict[float, list[tuple[float, str]]] = defaultdict(list)
    for text in axes.texts:
        place, height = text.get_position()
        rows[height].append((place, text.get_text()))
    return [tuple(cell for _, cell in sorted(rows[height])) for height in sorted(rows, reverse=True)]


def test_a_night_without_a_forecast_or_a_figure_is_drawn_with_what_it_has() -> None:
    nothing = replace(night_before(), forecast=None, metrics={}, verdict=None)
    axes, beside = comparison.nights(nothing, last_night(), series().sessions, series().mid).axes
    said = last_night().forecast
    assert said
    days = np.array([said.origin, *said.sessions], dtype="datetime64[D]")
    check_curves(
        axes,
        (TRUTH, series().sessions[-40:], series().mid[-40:]),
        (MODEL, days, [said.last_value, *said.path]),
    )
    cells = {row[0]: row[1:] for row in table(beside)}
    assert cells["skill of the LSTM"] == ("–", shown(last_night())["skill of the LSTM"])
    assert cells["promoted"] == ("no", shown(last_night())["promoted"])
    assert "end of the forecast" not in cells


def test_changes_are_told_in_words() -> None:
    before = night_before()
    tonight = recorded_night(code_hash="other", settings={**recorded_night().settings, "mode": "keep"})
    assert comparison.changed(before, tonight) == ["1 bar added", "mode auto → keep", "code changed"]
