"""The fan and the skill by lead show what the forecast and the evaluation hold."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from stockml.evaluation.path_scores import LAST_CLOSE, PUBLISHED, Evaluation
from stockml.forecasts.forecast import Forecast
from stockml.models.ridge_regression import RIDGE
from stockml.models.ticker_network import FINE_TUNED, PRETRAINED
from stockml.plots.forecast import FAN, forecast_fan, scale_of, skill_by_lead
from stockml.plots.style import COLOURS, MODEL, MUTED, TRUTH
from stockml.storage.arrays import Days
from tests.stockml.plots.drawing import (
    as_numbers,
    check_bands,
    check_curves,
    check_holds,
    days_shown,
    in_order,
    labels,
    levels,
    marks,
)
from tests.stockml.plots.recorded import DAY, both, drawn, series, tonight
from tests.support.nights import assessed

LEADS = np.arange(1, 51)
# from bottom to top
SHOWN = ("standard average", "EMA", "momentum", "drift", PUBLISHED)


def days() -> Days:
    """The origin, where every line of a forecast begins, and its 50 sessions."""
    return np.array([tonight().origin, *tonight().sessions], dtype="datetime64[D]")


def test_the_fan_shows_the_forecast_after_the_last_150_sessions() -> None:
    (axes,), said, mid, close = (
        drawn("forecast").axes,
        tonight(),
        series().close,
        series().close[-1],
    )
    drift = (mid[-1] - mid[-2_501]) / 2_500 * LEADS
    momentum = (mid[-1] - mid[-21]) / 20 * np.cumsum(0.9**LEADS)
    check_curves(
        axes,
        (TRUTH, series().sessions[-150:], mid[-150:]),
        (MODEL, days(), [close, *said.path]),
        (COLOURS["drift"], days(), [close, *(mid[-1] + drift)]),
        (COLOURS["momentum"], days(), [close, *(mid[-1] + momentum)]),
    )
    bands = {band.coverage: ([close, *band.low], [close, *band.high]) for band in said.bands}
    check_bands(
        axes, *((MODEL, FAN[coverage], days(), *bands[coverage]) for coverage in (95, 80, 50))
    )
    (level,) = (each for each in axes.collections if isinstance(each, LineCollection))
    first, last = as_numbers(days()[[0, -1]])
    np.testing.assert_allclose(level.get_segments()[0], [(first, close), (last, close)])
    assert marks(axes) == [(MUTED, first)]


def test_a_forecast_whose_origin_has_no_bar_any_more_is_drawn_as_it_was_made() -> None:
    sessions, mid = series().sessions, series().close
    assert scale_of(tonight(), sessions, both(mid / 2)) == pytest.approx(0.5), "after a split"
    assert scale_of(tonight(), sessions[:-1], both(mid[:-1])) == 1.0


def test_the_fan_names_its_lines_and_shows_them_whole() -> None:
    (axes,), said, mid = drawn("forecast").axes, tonight(), series().close
    ends = [
        ("drift", mid[-1] + (mid[-1] - mid[-2_501]) / 50, COLOURS["drift"]),
        ("momentum", mid[-1] + (mid[-1] - mid[-21]) / 20 * np.sum(0.9**LEADS), COLOURS["momentum"]),
        (f"published  {said.path[-1]:.2f}", said.path[-1], MODEL),
        (LAST_CLOSE, series().close[-1], TRUTH),
        *(
            (f"{band.coverage}%  {end:.0f}", end, MUTED)
            for band in said.bands
            for end in (band.low[-1], band.high[-1])
        ),
    ]
    assert labels(axes) == in_order(ends)
    assert days_shown(axes) == tuple(as_numbers(np.array([series().sessions[-150], days()[-1]])))
    check_holds(axes, [*mid[-150:], *said.band(95).low, *said.band(95).high])
    assert axes.get_ylabel() == "close, $"


@pytest.mark.parametrize("whose", [FINE_TUNED, PRETRAINED, RIDGE])
def test_the_title_says_how_far_the_price_may_go_and_according_to_what(whose: str) -> None:
    said = replace(tonight(), width_by=whose)
    (title, beside), band = titles_of(said), said.band(80)
    assert title == f"IBM: {band.low[-1]:.0f} to {band.high[-1]:.0f} in 50 sessions (80%)"
    assert beside.endswith(f"width by the {whose}")


def titles_of(said: Forecast) -> list[str]:
    return [
        text.get_text()
        for text in forecast_fan("IBM", said, series().sessions, series().close).texts[:2]
    ]


def skills_of(evaluation: Evaluation) -> dict[str, list[float]]:
    """Skills by row, one per lead."""
    naive = evaluation.scores[LAST_CLOSE].mse_by_lead
    return {
        name: [
            1 - (mse or 0.0) / (lazy or 1.0)
            for mse, lazy in zip(score.mse_by_lead, naive, strict=True)
        ]
        for name, score in evaluation.scores.items()
    }


def test_skill_is_drawn_lead_by_lead_and_what_falls_below_the_picture_is_named_at_its_edge() -> (
    None
):
    (axes,), skills = drawn("leads").axes, skills_of(assessed("IBM", DAY).evaluation)
    lines = {name: skills[name] for name in SHOWN}
    floor, ceiling = (
        min(-0.3, min(skills[PUBLISHED]) - 0.05),
        max(0.15, max(map(max, lines.values())) + 0.05),
    )
    shown = {
        name: [each if each >= floor else np.nan for each in skill] for name, skill in lines.items()
    }
    check_curves(axes, *((COLOURS[name], LEADS, skill) for name, skill in shown.items()))
    below = {
        name: f"  (≤ {max(skill):+.2f})" if skill[-1] < floor else ""
        for name, skill in lines.items()
    }
    below["EMA"] = f"  (≥ {min(lines['EMA']):+.2f})"  # its first leads
    assert below["standard average"] != ""
    assert min(lines["EMA"]) < floor < lines["EMA"][-1]
    ends = [(name + below[name], skill[-1], COLOURS[name]) for name, skill in lines.items()]
    assert labels(axes) == in_order([*ends, (LAST_CLOSE, 0.0, TRUTH)])
    assert levels(axes) == [(TRUTH, 0.0)]
    assert axes.get_ylim() == pytest.approx((floor, ceiling))
    assert axes.get_xlim() == (1, 50)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("lead, sessions", "skill")


def test_the_title_is_about_what_is_published_and_the_subtitle_gives_the_figures() -> None:
    found = assessed("IBM", DAY).evaluation
    better = sum(skill > 0 for skill in skills_of(found)[PUBLISHED])
    texts = [text.get_text() for text in drawn("leads").texts]
    assert texts[0] == f"IBM: what is published beats the last close at {better} of 50 leads"
    told = ", ".join(f"{name} {found.scores[name].skill:+.3f}" for name in (PUBLISHED,))
    assert texts[1].endswith(f"{found.origins} origins, {told}")


def test_a_title_does_not_claim_what_is_within_the_noise() -> None:
    found = assessed("IBM", DAY).evaluation
    [published] = [
        each for each in found.comparisons if (each.name, each.against) == (PUBLISHED, LAST_CLOSE)
    ]
    assert published.test
    noisy = replace(published, test=replace(published.test, p_value=0.05))
    figure = skill_by_lead("IBM", replace(found, comparisons=(noisy,)))
    assert figure.texts[0].get_text().endswith(" of 50 leads, could be luck")


def test_where_no_price_moved_no_skill_is_drawn_or_stated() -> None:
    found = assessed("IBM", DAY).evaluation
    still = {
        name: replace(score, skill=None, mse_by_lead=(None,) * 50)
        for name, score in found.scores.items()
    }
    figure = skill_by_lead("IBM", replace(found, scores=still))
    assert [text.get_text() for text in figure.texts] == [
        "IBM: no price moved: skill is undefined",
        f"Skill = 1 − MSE / MSE(last close), {found.origins} origins",
    ]
    assert labels(figure.axes[0]) == [(LAST_CLOSE, TRUTH)]
