"""The fan and the skill by lead show what the forecast and the evaluation hold."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from stockml.evaluation.path_scores import LAST_CLOSE, LSTM, PUBLISHED, TREND_PRIOR, Evaluation
from stockml.forecasts.forecast import Forecast
from stockml.models.pooled_ridge import RIDGE
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
SHOWN = ("standard average", "EMA", "momentum", "drift", TREND_PRIOR, PUBLISHED)  # from bottom to top


def days() -> Days:
    """The origin, where every line of a forecast begins, and its 50 sessions."""
    return np.array([tonight().origin, *tonight().sessions], dtype="datetime64[D]")


def test_the_fan_shows_the_forecast_after_the_last_150_sessions() -> None:
    (axes,), said, mid, close = drawn("forecast").axes, tonight(), series().close, series().close[-1]
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
    check_bands(axes, *((MODEL, FAN[coverage], days(), *bands[coverage]) for coverage in (95, 80, 50)))
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
        *((f"{band.coverage}%  {end:.0f}", end, MUTED) for band in said.bands for end in (band.low[-1], band.high[-1])),
    ]
    assert labels(axes) == in_order(ends)
    assert days_shown(axes) == tuple(as_numbers(np.array([series().sessions[-150], days()[-1]])))
    check_holds(axes, [*mid[-150:], *said.band(95).low, *said.band(95).high])
    assert axes.get_ylabel() == "close, $"


@pytest.mark.parametrize("whose", [FINE_TUNED, PRETRAINED, RIDGE])
def test_the_title_says_how_far_the_price_may_go_and_according_to_what(whose: str) -> None:
    said = replace(tonight(), width_by=whose)
    (title, beside), band = titles_of(said), said.band(80)
    assert title == f"IBM: {band.low[-1]:.0f} to {band.high[-1]:.0f} in 50 sessions (80%), by the {whose}"
    assert f"{said.probability_of_rise:.0%} chance of a higher price in 30 sessions" in beside


def test_the_prices_of_a_cheap_share_have_two_decimals() -> None:
    said = scaled(tonight(), 0.01)
    figure, band = forecast_fan("IBM", said, series().sessions, series().close / 100), said.band(80)
    edges = [f"{edge:.2f}" for edge in (band.low[-1], band.high[-1])]
    assert figure.texts[0].get_text().startswith(f"IBM: {edges[0]} to {edges[1]} in 50 sessions")
    assert {f"80%  {edge}" for edge in edges} < {text for text, _ in labels(figure.axes[0])}


def test_the_prices_of_a_dear_share_have_their_thousands_marked() -> None:
    said = scaled(tonight(), 100)
    title, band = forecast_fan("IBM", said, series().sessions, series().close * 100).texts[0], said.band(80)
    assert title.get_text().startswith(f"IBM: {band.low[-1]:,.0f} to {band.high[-1]:,.0f} in 50 sessions")
    assert band.low[-1] > 10_000


def test_of_a_price_that_stands_still_the_fan_has_one_label_and_no_chance() -> None:
    still = (100.0,) * 50
    bands = [replace(band, low=still, high=still) for band in tonight().bands]
    said = replace(tonight(), last_value=100.0, last_close=100.0, path=still, bands=tuple(bands))
    figure = forecast_fan("MMF", said, series().sessions, np.full(len(series()), 100.0), stands_still=True)
    assert [text for text, _ in labels(figure.axes[0]) if "100" in text] == ["published  100.00"]
    assert figure.texts[1].get_text().endswith("; no price moved")


def test_a_baseline_that_leads_far_away_is_named_with_its_end_and_leaves_the_fan_its_room() -> None:
    """As of a share that lost nearly all it was worth: drift leads below zero."""
    mid = np.where(np.arange(len(series())) < len(series()) - 200, 500 * series().close, series().close)
    (axes,) = forecast_fan("IBM", tonight(), series().sessions, mid).axes
    end = mid[-1] + (mid[-1] - mid[-2_501]) / 50
    assert end < -50
    assert (f"drift  {end:.2f}", COLOURS["drift"]) in labels(axes)
    low, high = axes.get_ylim()
    shown = [*mid[-150:], *tonight().band(95).low, *tonight().band(95).high]
    assert min(shown) - 10 < low < min(shown) < max(shown) < high < max(shown) + 10


def scaled(said: Forecast, by: float) -> Forecast:
    """The forecast at this many times its prices."""
    bands = [replace(each, low=times(by, each.low), high=times(by, each.high)) for each in said.bands]
    first = {"last_value": said.last_value * by, "last_close": said.now * by}
    return replace(said, path=times(by, said.path), bands=tuple(bands), **first)


def times(by: float, prices: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(price * by for price in prices)


def titles_of(said: Forecast) -> list[str]:
    return [text.get_text() for text in forecast_fan("IBM", said, series().sessions, series().close).texts[:2]]


def test_a_forecast_without_its_close_begins_at_its_mid_price() -> None:
    earlier = replace(tonight(), last_close=None, outlook=())
    (axes,) = forecast_fan("IBM", earlier, series().sessions, series().close).axes
    assert (LAST_CLOSE, TRUTH) in [(text, colour) for text, colour in labels(axes)]
    assert earlier.now == earlier.last_value


def skills_of(evaluation: Evaluation) -> dict[str, list[float]]:
    """Skills by row, one per lead."""
    naive = evaluation.scores[LAST_CLOSE].mse_by_lead
    return {
        name: [1 - (mse or 0.0) / (lazy or 1.0) for mse, lazy in zip(score.mse_by_lead, naive, strict=True)]
        for name, score in evaluation.scores.items()
    }


def test_skill_is_drawn_lead_by_lead_and_what_falls_below_the_picture_is_named_at_its_edge() -> None:
    (axes,), skills = drawn("leads").axes, skills_of(assessed("IBM", DAY).evaluation)
    lines = {name: skills[name] for name in SHOWN}
    floor, ceiling = min(-0.3, min(skills[PUBLISHED]) - 0.05), max(0.15, max(map(max, lines.values())) + 0.05)
    shown = {name: [each if each >= floor else np.nan for each in skill] for name, skill in lines.items()}
    check_curves(axes, *((COLOURS[name], LEADS, skill) for name, skill in shown.items()))
    below = {name: f"  (≤ {max(skill):+.2f})" if skill[-1] < floor else "" for name, skill in lines.items()}
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
    told = ", ".join(f"{name} {found.scores[name].skill:+.3f}" for name in (PUBLISHED, TREND_PRIOR))
    assert texts[1].endswith(f"{found.origins} origins, {told}")


def test_a_title_does_not_claim_what_is_within_the_noise() -> None:
    found = assessed("IBM", DAY).evaluation
    [published] = [each for each in found.comparisons if (each.name, each.against) == (PUBLISHED, LAST_CLOSE)]
    assert published.test
    noisy = replace(published, test=replace(published.test, p_value=0.05))
    figure = skill_by_lead("IBM", replace(found, comparisons=(noisy,)))
    assert figure.texts[0].get_text().endswith(" of 50 leads, within the noise")


def test_a_line_below_the_edge_is_named_there() -> None:
    found = assessed("IBM", DAY).evaluation
    far = replace(
        found.scores["momentum"], mse_by_lead=tuple(10 * (mse or 0) for mse in found.scores["drift"].mse_by_lead)
    )
    (axes,) = skill_by_lead("IBM", replace(found, scores={**found.scores, "momentum": far})).axes
    best = max(skills_of(replace(found, scores={**found.scores, "momentum": far}))["momentum"])
    assert (f"momentum  (≤ {best:+.2f})", COLOURS["momentum"]) in labels(axes)
    (axes,) = skill_by_lead("IBM", replace(found, scores={**found.scores, LSTM: far})).axes
    assert axes.get_ylim()[0] < best, "a network's own line is shown whole"


def test_a_line_that_dips_below_the_edge_is_named_with_how_far() -> None:
    found = assessed("IBM", DAY).evaluation
    momentum, naive = found.scores["momentum"].mse_by_lead, found.scores[LAST_CLOSE].mse_by_lead
    dips = replace(found.scores["momentum"], mse_by_lead=(*momentum[:20], 3 * (naive[20] or 0), *momentum[21:]))
    (axes,) = skill_by_lead("IBM", replace(found, scores={**found.scores, "momentum": dips})).axes
    assert ("momentum  (≥ -2.00)", COLOURS["momentum"]) in labels(axes)


def test_an_unknown_skill_is_a_gap_and_a_short_horizon_has_its_own_ticks() -> None:
    found = assessed("IBM", DAY).evaluation
    unknown = {
        name: replace(score, mse_by_lead=(None, *score.mse_by_lead[1:10])) for name, score in found.scores.items()
    }
    (axes,) = skill_by_lead("IBM", replace(found, scores=unknown, horizon=10)).axes
    skills = {name: [np.nan, *skills_of(found)[name][1:10]] for name in SHOWN}
    floor = min(-0.3, np.nanmin(skills[PUBLISHED]) - 0.05)
    shown = {name: [each if each >= floor else np.nan for each in skill] for name, skill in skills.items()}
    check_curves(axes, *((COLOURS[name], range(1, 11), skill) for name, skill in shown.items()))
    assert axes.get_xlim() == (1, 10)
    assert axes.get_xticks().tolist() == list(range(1, 11))


def test_where_no_price_moved_no_skill_is_drawn_or_stated() -> None:
    found = assessed("IBM", DAY).evaluation
    still = {name: replace(score, skill=None, mse_by_lead=(None,) * 50) for name, score in found.scores.items()}
    figure = skill_by_lead("IBM", replace(found, scores=still))
    assert [text.get_text() for text in figure.texts] == [
        "IBM: no price moved: skill is undefined",
        f"Skill = 1 − MSE / MSE(last close), {found.origins} origins",
    ]
    assert labels(figure.axes[0]) == [(LAST_CLOSE, TRUTH)]


def test_a_line_whose_last_skill_is_unknown_keeps_its_name() -> None:
    """As where the only origin's price is back at its close after 50 sessions."""
    found = assessed("IBM", DAY).evaluation
    naive = replace(found.scores[LAST_CLOSE], mse_by_lead=(*found.scores[LAST_CLOSE].mse_by_lead[:-1], 0.0))
    (axes,) = skill_by_lead("IBM", replace(found, scores={**found.scores, LAST_CLOSE: naive})).axes
    heights = {text.get_text().partition("  (")[0]: text.get_position()[1] for text in axes.texts}
    assert {*SHOWN, LAST_CLOSE} == set(heights)
    assert np.isfinite([*heights.values()]).all()


def test_the_skill_of_a_forecast_of_one_session_is_drawn_as_dots() -> None:
    whole = assessed("IBM", DAY).evaluation
    scores = {name: replace(score, mse_by_lead=score.mse_by_lead[:1]) for name, score in whole.scores.items()}
    (axes,) = skill_by_lead("IBM", replace(whole, horizon=1, scores=scores)).axes
    drawn = [line for line in axes.lines if line.get_color() in {COLOURS[name] for name in SHOWN}]
    assert [line.get_marker() for line in drawn] == ["o"] * len(SHOWN)
    assert [line.get_xdata().tolist() for line in drawn] == [[1]] * len(SHOWN)
