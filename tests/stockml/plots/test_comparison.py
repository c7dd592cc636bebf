"""Last night against tonight: both forecasts over the price, and every figure in its night's
column."""

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from stockml.nights.record import Night
from stockml.plots import comparison
from stockml.plots.style import MODEL, MUTED, TRUTH
from tests.stockml.plots.drawing import (
    as_numbers,
    check_bands,
    check_curves,
    check_holds,
    curves,
    days_shown,
    in_order,
    labels,
)
from tests.stockml.plots.recorded import both, drawn, last_night, night_before, series
from tests.support.nights import recorded_night

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEFORE = MUTED


def test_both_forecasts_are_drawn_from_their_origins_over_the_last_40_sessions() -> None:
    axes, _ = drawn("changes").axes
    bands, curves, ends = [], [], []
    for night, colour in ((night_before(), BEFORE), (last_night(), MODEL)):
        said = night.forecast
        assert said
        days = np.array([said.origin, *said.sessions], dtype="datetime64[D]")
        low, high = ([said.now, *side] for side in (said.band(80).low, said.band(80).high))
        bands.append((colour, 0.25, days, low, high))
        curves.append((colour, days, [said.now, *said.path]))
        ends.append((f"{said.path[-1]:.2f}", said.path[-1], colour))
    check_bands(axes, *bands)
    check_curves(axes, (TRUTH, series().sessions[-40:], series().close[-40:]), *curves)
    assert labels(axes) == in_order(ends)
    assert days_shown(axes) == tuple(as_numbers(np.array([series().sessions[-40], days[-1]])))
    check_holds(axes, [*series().close[-40:], *bands[1][3], *bands[1][4]])
    assert axes.get_ylabel() == "close, $, 80% bands"


def test_on_the_night_of_a_split_last_nights_forecast_is_in_tonights_units() -> None:
    before, said = night_before(), last_night().forecast
    assert before.forecast
    assert said
    halved = replace(said, last_value=said.last_value / 2, last_close=said.now / 2)
    tonight = replace(
        last_night(), forecast=replace(halved, path=tuple(price / 2 for price in said.path))
    )
    axes, beside = comparison.nights(
        before, tonight, series().sessions, both(series().close / 2)
    ).axes
    ends = [f"{end / 2:.2f}" for end in (before.forecast.path[-1], said.path[-1])]
    assert ("end of the forecast", *ends) in table(beside)
    drawn_before = next(line for line in curves(axes) if line.get_color() == BEFORE)
    assert drawn_before.get_ydata()[-1] == pytest.approx(before.forecast.path[-1] / 2)
    assert labels(axes) == in_order(
        [(ends[0], before.forecast.path[-1] / 2, BEFORE), (ends[1], said.path[-1] / 2, MODEL)]
    )


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
        "skill, published": f"{found['published/skill']:+.4f}",
        "network adds, CRPS": f"{found['answer/network_adds_crps_pct']:+.2f}%",
        "training adds, CRPS": f"{found['answer/training_adds_crps_pct']:+.2f}%",
        "CRPS skill, published": f"{found['answer/published_crps_skill_pct']:+.2f}%",
        "volatility, 20 sessions": f"{found['answer/volatility_20_pct']:.1f}%",
        "MSE, last close, range²": f"{found['baselines/last_close_mse']:.6f}",
        "inside the 80% bands": f"{100 * found['intervals/coverage_80']:.1f}%",
        "live skill, independent": f"{found['answer/live_beats_last_close_pct']:+.1f}% of 2",
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
    return [
        tuple(cell for _, cell in sorted(rows[height])) for height in sorted(rows, reverse=True)
    ]


def test_a_night_without_a_forecast_or_a_figure_is_drawn_with_what_it_has() -> None:
    nothing = replace(night_before(), forecast=None, metrics={}, verdict=None)
    axes, beside = comparison.nights(
        nothing, last_night(), series().sessions, both(series().close)
    ).axes
    said = last_night().forecast
    assert said
    days = np.array([said.origin, *said.sessions], dtype="datetime64[D]")
    check_curves(
        axes,
        (TRUTH, series().sessions[-40:], series().close[-40:]),
        (MODEL, days, [said.now, *said.path]),
    )
    cells = {row[0]: row[1:] for row in table(beside)}
    assert cells["skill, published"] == ("–", shown(last_night())["skill, published"])
    assert cells["promoted"] == ("no", shown(last_night())["promoted"])
    assert cells["live skill, independent"] == ("–", shown(last_night())["live skill, independent"])
    assert "end of the forecast" not in cells


def test_changes_are_described_in_words() -> None:
    before = night_before()
    tonight = recorded_night(
        code_hash="other", settings={**recorded_night().settings, "mode": "keep"}
    )
    assert comparison.changed(before, tonight) == [
        "1 bar added",
        "mode auto → keep",
        "code changed",
    ]
    many = replace(
        tonight, rows_restated=3, settings={**tonight.settings, "a": (1, 2), "b": 2, "c": 3}
    )
    told = [
        "1 bar added, 3 restated",
        "a None → 1 2",
        "b None → 2",
        "2 more settings",
        "code changed",
    ]
    assert comparison.changed(before, many) == told


def test_the_title_is_tonights_expected_volatility_after_last_nights() -> None:
    last, now = (
        night.metrics["answer/volatility_20_pct"] for night in (night_before(), last_night())
    )
    figure = drawn("changes")
    told = f"IBM: {now:.1f}% volatility a year expected, after {last:.1f}% on 2013-02-27"
    assert figure.texts[0].get_text() == told
