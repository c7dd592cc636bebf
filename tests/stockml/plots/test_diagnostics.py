"""Residuals, coverage and past forecasts are drawn as they were, which is recomputed here session by session."""

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from stockml.forecasts.forecast import Forecast
from stockml.forecasts.proper_scores import BANDS, BandScore, BandScores
from stockml.plots import diagnostics
from stockml.plots.forecast import FAN, skill_by_lead
from stockml.plots.style import BEHIND, COLOURS, MODEL, TRUTH
from stockml.plots.training import averages
from tests.stockml.plots.drawing import (
    Band,
    Curve,
    as_numbers,
    check_bands,
    check_curves,
    check_holds,
    days_shown,
    in_order,
    labels,
    levels,
)
from tests.stockml.plots.recorded import DAY, both, drawn, live, past_forecasts, series, tonight
from tests.support.nights import assessed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAIVE = BEHIND


def missed() -> tuple[list[float], list[float]]:
    """How far off, as a share, the published price and the last close were, 50 sessions after each origin."""
    found, mid, close = assessed("IBM", DAY), series().close, series().close
    said = [mid[o + 50] / path[49] - 1 for o, path in zip(found.test_origins, found.paths["published"], strict=True)]
    return said, [mid[o + 50] / close[o] - 1 for o in found.test_origins]


def test_residuals_are_drawn_at_their_origins() -> None:
    axes, _ = drawn("residuals").axes
    said, naive = missed()
    at = series().sessions[assessed("IBM", DAY).test_origins]
    check_curves(axes, (NAIVE, at, naive), (MODEL, at, said))
    assert levels(axes) == [(TRUTH, 0.0)]
    check_holds(axes, [*said, *naive])
    assert axes.get_ylabel() == "price after 50 sessions, from the forecast"
    assert axes.yaxis.get_major_formatter()(0.25) == "25%"


def test_both_forecasts_residuals_are_counted_in_the_same_bins() -> None:
    from matplotlib.colors import to_hex

    axes, beside = drawn("residuals").axes
    said, naive = missed()
    edges = np.linspace(min(said + naive), max(said + naive), 24)
    *bars, steps = beside.patches
    assert [bar.get_y() for bar in bars] == pytest.approx(edges[:-1])
    assert [bar.get_width() for bar in bars] == counted(naive, edges)
    assert {to_hex(bar.get_facecolor()) for bar in bars} == {NAIVE}
    outline = steps.get_xy()  # type: ignore[attr-defined]
    np.testing.assert_allclose(outline[::2, 1], edges)
    assert outline[1:-1:2, 0].tolist() == counted(said, edges)
    assert to_hex(steps.get_edgecolor()) == MODEL
    assert beside.get_ylim() == axes.get_ylim()
    assert beside.get_xlabel() == "origins"
    assert [text for text, _ in labels(beside)] == ["last close", "published"]


def test_the_names_in_the_histogram_are_beside_each_other_above_its_bars() -> None:
    figure = drawn("residuals")
    figure.draw_without_rendering()
    beside = figure.axes[1]
    naive, published = (text.get_window_extent() for text in beside.texts)
    assert min(naive.y0, published.y0) > beside.get_window_extent().y1
    assert naive.x1 < published.x0


def test_half_percents_are_ticks_of_their_own() -> None:
    shares = (-0.05, -0.025, -1e-17, 0.025, 0.07, 1.0)
    marks = drawn("residuals").axes[0].yaxis.get_major_formatter()
    assert [marks(share) for share in shares] == ["-5%", "-2.5%", "0%", "2.5%", "7%", "100%"]


def test_one_origin_is_one_origin() -> None:
    """As 72 sessions have, the fewest that a night takes."""
    found, at = assessed("IBM", DAY), assessed("IBM", DAY).test_origins[:1]
    said = diagnostics.residuals(
        "NEW", series().sessions, series().close, series().close, at, found.paths["published"][:1]
    )
    figures = (said, diagnostics.calibration("NEW", found.band_scores, 1))
    figures += (skill_by_lead("NEW", replace(found.evaluation, origins=1)),)
    figures += (averages("NEW", series().sessions, series().close, "close", replace(found.evaluation, origins=1)),)
    figures += (diagnostics.volatility("NEW", series(), at, np.full(1, 0.2), None, 20),)
    assert ["1 origins" in figure.texts[1].get_text() for figure in figures] == [False] * 5
    assert ["1 origin " in f"{figure.texts[1].get_text()} ".replace(",", " ") for figure in figures] == [True] * 5


@pytest.mark.parametrize(("origins", "few"), [(29, ", too few to judge"), (30, "")])
def test_fewer_than_thirty_origins_are_no_finding(origins: int, few: str) -> None:
    """As a share has in its first year and a half: three origins gave a title of a month's fall."""
    found, at = assessed("IBM", DAY), assessed("IBM", DAY).test_origins[:origins]
    sessions, mid, scored = series().sessions, series().close, replace(found.evaluation, origins=origins)
    figures = {
        f"from the forecast on average{few}": diagnostics.residuals(
            "NEW", sessions, mid, series().close, at, found.paths["published"][:origins]
        ),
        f"of the prices{few}": diagnostics.calibration("NEW", found.band_scores, origins),
        f"of 50 leads{few}": skill_by_lead("NEW", scored),
        "how close plain averages come" if few else "is closer": averages("NEW", sessions, mid, "close", scored),
    }
    titles = [figure.texts[0].get_text() for figure in figures.values()]
    assert [title.endswith(end) for title, end in zip(titles, figures, strict=True)] == [True] * 4, titles


def counted(values: list[float], edges: np.ndarray) -> list[int]:
    """How many values are in each bin; the last one has its upper edge."""
    inside = [sum(low <= value < high for value in values) for low, high in pairwise(edges)]
    inside[-1] += sum(value == edges[-1] for value in values)
    return inside


def test_coverage_is_drawn_lead_by_lead_beside_the_promised_level() -> None:
    (axes,), scores = drawn("calibration").axes, assessed("IBM", DAY).band_scores.bands
    colours = {"50": COLOURS["drift"], "80": MODEL, "95": COLOURS["champion"]}
    leads = np.arange(1, 51)
    check_curves(axes, *((colours[name], leads, scores[name].coverage_by_lead) for name in colours))
    assert levels(axes) == [(colour, int(name) / 100) for name, colour in colours.items()]
    ends = [
        (f"{name}%: {scores[name].coverage:.0%} inside", scores[name].coverage_by_lead[-1], colour)
        for name, colour in colours.items()
    ]
    assert labels(axes) == in_order(ends)
    assert (axes.get_xlim(), axes.get_ylim()) == ((1, 50), (0.2, 1.02))
    assert axes.yaxis.get_major_formatter()(0.8) == "80%"
    assert axes.get_xlabel() == "lead, sessions (dashed: promised)"
    assert axes.get_ylabel() == "inside the band"


def test_a_coverage_of_zero_stays_on_the_page() -> None:
    """A short history's few origins can give one."""
    few = {name: BandScore(0.5, (0.0, 1.0), 1.0) for name in BANDS}
    (axes,) = diagnostics.calibration("NEW", BandScores(few), 1).axes
    check_holds(axes, [0.0, 1.0])


def test_the_coverage_of_a_forecast_of_one_session_is_drawn_as_dots() -> None:
    (axes,) = diagnostics.calibration("NEW", BandScores({name: BandScore(0.5, (0.5,), 1.0) for name in BANDS}), 8).axes
    assert [line.get_marker() for line in axes.lines[::2]] == ["o"] * len(BANDS)


@pytest.mark.parametrize("after_split", [1.0, 0.5])
def test_past_forecasts_are_fans_in_tonights_units_over_what_happened(after_split: float) -> None:
    sessions, mid = series().sessions, after_split * series().close
    (axes,) = diagnostics.ledger("IBM", past_forecasts(), live(past_forecasts()), sessions, both(mid)).axes
    check_fans(axes, past_forecasts(), after_split)
    assert labels(axes) == [("what happened", TRUTH)]
    since = np.datetime64(past_forecasts()[0].origin) - np.timedelta64(60, "D")
    assert days_shown(axes)[0] == as_numbers(sessions[sessions >= since])[0]
    assert axes.get_ylabel() == "close, $"


def check_fans(axes: "Axes", published: tuple[Forecast, ...], after_split: float = 1.0) -> None:
    """These forecasts and no others, each from its origin's price on, and the price from 60 days before the first."""
    sessions, mid = series().sessions, after_split * series().close
    price = dict(zip(sessions.tolist(), mid.tolist(), strict=True))
    bands: list[Band] = []
    curves: list[Curve] = []
    for said in published:
        days = np.array([said.origin, *said.sessions], dtype="datetime64[D]")
        unit = price[said.origin] / said.last_value
        for band in (said.band(coverage) for coverage in (95, 80, 50)):
            low, high = (unit * np.array([said.last_value, *side]) for side in (band.low, band.high))
            bands.append((MODEL, FAN[band.coverage] / 2, days, low, high))
        curves.append((MODEL, days, unit * np.array([said.last_value, *said.path])))
        curves.append((MODEL, days[:1], [price[said.origin]]))
    shown = sessions >= np.datetime64(published[0].origin) - np.timedelta64(60, "D")
    check_bands(axes, *bands)
    check_curves(axes, *curves, (TRUTH, sessions[shown], mid[shown]))
    check_holds(axes, [*mid[shown], *(edge for _, _, _, low, high in bands for edge in (*low, *high))])


def nightly(count: int) -> tuple[Forecast, ...]:
    """A forecast on each of the last `count` nights; no session of the newest has come due."""
    days = (*series().sessions.tolist(), *tonight().sessions)
    nights = range(len(series()) - count, len(series()))
    return tuple(replace(tonight(), origin=days[i], sessions=days[i + 1 : i + 51]) for i in nights)


def test_of_many_forecasts_six_are_drawn_evenly_over_time_and_none_without_due_sessions() -> None:
    published = nightly(12)
    figure = diagnostics.ledger("IBM", published, live(published), series().sessions, both(series().close))
    check_fans(figure.axes[0], tuple(published[i] for i in (0, 2, 4, 6, 8, 10)))
    due = f"11 live forecasts with sessions that came due, from {published[0].origin} to {published[10].origin}"
    assert figure.texts[1].get_text() == f"{due}, 1 independent, 6 of them shown"


def test_a_single_price_is_not_judged_and_thirty_independent_forecasts_are() -> None:
    one = nightly(2)[:1]
    figure = diagnostics.ledger("IBM", one, live(one), series().sessions, both(series().close))
    assert figure.texts[0].get_text().endswith("of 1 price so far, too few to judge")
    said = f"1 live forecast with sessions that came due, of {one[0].origin}, 1 independent"
    assert figure.texts[1].get_text() == said
    titles = [
        diagnostics.ledger(
            "IBM", one, replace(live(one), independent=count), series().sessions, both(series().close)
        ).texts[0]
        for count in (29, 30)
    ]
    assert ["too few" in title.get_text() for title in titles] == [True, False]
