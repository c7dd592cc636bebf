"""Last night against tonight: both forecasts over the price, and every figure in its night's column."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
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


def test_the_figures_of_a_share_at_parts_of_a_cent_do_not_lie_over_their_names() -> None:
    """Long prices on the axis and at its edge take room from the table."""
    figure = comparison.nights(
        cheap(night_before(), 1e-6), cheap(last_night(), 1e-6), series().sessions, both(1e-6 * series().close)
    )
    figure.draw_without_rendering()
    rows = defaultdict(list)
    for text in figure.axes[1].texts:
        rows[text.get_position()[1]].append(text.get_window_extent())
    assert len(rows) > 8
    assert all(left.x1 < right.x0 for row in rows.values() for left, right in pairwise(row))


def cheap(night: Night, times: float) -> Night:
    """The night with `times` the forecast's prices."""
    said = night.forecast
    assert said
    bands = [
        replace(band, low=tuple(times * each for each in band.low), high=tuple(times * each for each in band.high))
        for band in said.bands
    ]
    path = tuple(times * price for price in said.path)
    first = {"last_value": times * said.last_value, "last_close": times * said.now}
    return replace(night, forecast=replace(said, path=path, bands=tuple(bands), **first))


def test_on_the_night_of_a_split_last_nights_forecast_is_in_tonights_units() -> None:
    before, said = night_before(), last_night().forecast
    assert before.forecast
    assert said
    halved = replace(said, last_value=said.last_value / 2, last_close=said.now / 2)
    tonight = replace(last_night(), forecast=replace(halved, path=tuple(price / 2 for price in said.path)))
    axes, beside = comparison.nights(before, tonight, series().sessions, both(series().close / 2)).axes
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
    assert table(axes) == [("", "2013-02-27", "2013-02-28"), *((name, before[name], tonight[name]) for name in before)]


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
    return [tuple(cell for _, cell in sorted(rows[height])) for height in sorted(rows, reverse=True)]


def test_even_a_full_table_stays_within_the_picture() -> None:
    every = {name: 0.1 for _, name, _ in comparison.ROWS}
    full = replace(last_night(), metrics={**last_night().metrics, **every})
    _, beside = comparison.nights(full, full, series().sessions, both(series().close)).axes
    heights = sorted({text.get_position()[1] for text in beside.texts})
    assert len(heights) == len(comparison.ROWS) + 6
    assert heights[0] > 0
    assert min(np.diff(heights)) > 0.05, "closer lines would run into each other"


def test_a_night_without_a_forecast_or_a_figure_is_drawn_with_what_it_has() -> None:
    nothing = replace(night_before(), forecast=None, metrics={}, verdict=None)
    axes, beside = comparison.nights(nothing, last_night(), series().sessions, both(series().close)).axes
    said = last_night().forecast
    assert said
    days = np.array([said.origin, *said.sessions], dtype="datetime64[D]")
    check_curves(axes, (TRUTH, series().sessions[-40:], series().close[-40:]), (MODEL, days, [said.now, *said.path]))
    cells = {row[0]: row[1:] for row in table(beside)}
    assert cells["skill, published"] == ("–", shown(last_night())["skill, published"])
    assert cells["promoted"] == ("no", shown(last_night())["promoted"])
    assert cells["live skill, independent"] == ("–", shown(last_night())["live skill, independent"])
    assert "end of the forecast" not in cells


def test_changes_are_described_in_words() -> None:
    before = night_before()
    tonight = recorded_night(code_hash="other", settings={**recorded_night().settings, "mode": "keep"})
    assert comparison.changed(before, tonight) == ["1 bar added", "mode auto → keep", "code changed"]
    many = replace(tonight, rows_restated=3, settings={**tonight.settings, "a": (1, 2), "b": 2, "c": 3})
    told = ["1 bar added, 3 restated", "a None → 1 2", "b None → 2", "2 more settings", "code changed"]
    assert comparison.changed(before, many) == told


@pytest.mark.parametrize(
    ("old", "new", "skills", "told"),
    [
        (0.00540, 0.00520, (0.05, 0.02), "is better than the one of 2013-02-27, MSE -3.7%"),
        (0.00540, 0.00560, (0.02, 0.05), "is worse than the one of 2013-02-27, MSE +3.7%"),
        (0.00540, 0.00541, (0.02, 0.01), "is as good as the one of 2013-02-27, MSE +0.2%"),
    ],
)
def test_a_path_whose_error_fell_is_not_called_worse(
    old: float, new: float, skills: tuple[float, float], told: str
) -> None:
    """Its skill may still fall, where the last close did better."""
    before = replace(night_before(), metrics={"lstm/mse": old, "lstm/skill": skills[0]})
    tonight = replace(last_night(), metrics={"lstm/mse": new, "lstm/skill": skills[1]})
    figure = comparison.nights(before, tonight, series().sessions, both(series().close))
    assert figure.texts[0].get_text() == f"IBM: tonight's model {told}"


@pytest.mark.parametrize(
    ("added", "sessions", "told"),
    [
        (1, 1, "1 bar added"),
        (3, 3, "3 bars added"),
        (0, 0, "0 bars added"),
        (0, 1, "1 new session, its bar came with an earlier answer"),
        (0, 2, "2 new sessions, their bars came with an earlier answer"),
    ],
)
def test_a_new_session_whose_bar_was_already_stored_is_not_described_as_nothing_new(
    added: int, sessions: int, told: str
) -> None:
    before = night_before()
    tonight = replace(last_night(), rows_added=added, sessions=before.sessions + sessions)
    assert comparison.changed(before, tonight)[0] == told


def test_a_skill_over_another_reference_is_not_shown_beside_tonights() -> None:
    """An earlier version's skill was over the last mid price."""
    kept = {name: value for name, value in night_before().metrics.items() if "last_close" not in name}
    _, beside = comparison.nights(
        replace(night_before(), metrics=kept), last_night(), series().sessions, both(series().close)
    ).axes
    cells = {row[0]: row[1:] for row in table(beside)}
    assert cells["skill, published"] == ("–", shown(last_night())["skill, published"])
    adds = "network adds, CRPS"
    assert cells[adds] == tuple(shown(night)[adds] for night in (night_before(), last_night()))


@pytest.mark.parametrize("turn", [1, -1])
def test_of_two_nights_that_have_no_figure_in_common_the_title_names_the_sessions(turn: int) -> None:
    """As when the profile was changed in between: one forecasts a path, the other a width."""
    before, tonight = ({"lstm/mse": 0.0054}, {"answer/volatility_20_pct": 21.0})[::turn]
    nights = replace(night_before(), metrics=before), replace(last_night(), metrics=tonight)
    figure = comparison.nights(*nights, series().sessions, both(series().close))
    assert figure.texts[0].get_text() == "IBM: 2013-02-28 beside 2013-02-27"


def test_the_title_is_tonights_expected_volatility_after_last_nights() -> None:
    last, now = (night.metrics["answer/volatility_20_pct"] for night in (night_before(), last_night()))
    figure = drawn("changes")
    told = f"IBM: {now:.1f}% volatility a year expected, after {last:.1f}% on 2013-02-27"
    assert figure.texts[0].get_text() == told
