"""Residuals, coverage and past forecasts are drawn as they were, which is recomputed here session
by session."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from stockml.forecasts.forecast import Forecast
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
from tests.stockml.plots.recorded import DAY, both, drawn, live, past_forecasts, series
from tests.support.nights import assessed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAIVE = BEHIND


def missed() -> tuple[list[float], list[float]]:
    """How far off, as a share, the published price and the last close were, 50 sessions after each
    origin."""
    found, mid, close = assessed("IBM", DAY), series().close, series().close
    said = [
        mid[o + 50] / path[49] - 1
        for o, path in zip(found.test_origins, found.paths["published"], strict=True)
    ]
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


@pytest.mark.parametrize(("origins", "few"), [(29, ", too few to judge"), (30, "")])
def test_fewer_than_thirty_origins_are_no_finding(origins: int, few: str) -> None:
    """As a share has in its first year and a half: three origins gave a title of a month's fall."""
    found, at = assessed("IBM", DAY), assessed("IBM", DAY).test_origins[:origins]
    sessions, mid, scored = (
        series().sessions,
        series().close,
        replace(found.evaluation, origins=origins),
    )
    figures = {
        f"from the forecast on average{few}": diagnostics.residuals(
            "NEW", sessions, mid, series().close, at, found.paths["published"][:origins]
        ),
        f"of the prices{few}": diagnostics.calibration("NEW", found.band_scores, origins),
        f"of 50 leads{few}": skill_by_lead("NEW", scored),
        "how close plain averages come" if few else "is closer": averages(
            "NEW", sessions, mid, "close", scored
        ),
    }
    titles = [figure.texts[0].get_text() for figure in figures.values()]
    assert [title.endswith(end) for title, end in zip(titles, figures, strict=True)] == [
        True
    ] * 4, titles


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


@pytest.mark.parametrize("after_split", [1.0, 0.5])
def test_past_forecasts_are_fans_in_tonights_units_over_what_happened(after_split: float) -> None:
    sessions, mid = series().sessions, after_split * series().close
    (axes,) = diagnostics.ledger(
        "IBM", past_forecasts(), live(past_forecasts()), sessions, both(mid)
    ).axes
    check_fans(axes, past_forecasts(), after_split)
    assert labels(axes) == [("what happened", TRUTH)]
    since = np.datetime64(past_forecasts()[0].origin) - np.timedelta64(60, "D")
    assert days_shown(axes)[0] == as_numbers(sessions[sessions >= since])[0]
    assert axes.get_ylabel() == "close, $"


def check_fans(axes: "Axes", published: tuple[Forecast, ...], after_split: float = 1.0) -> None:
    """These forecasts and no others, each from its origin's price on, and the price from 60 days
    before the first."""
    sessions, mid = series().sessions, after_split * series().close
    price = dict(zip(sessions.tolist(), mid.tolist(), strict=True))
    bands: list[Band] = []
    curves: list[Curve] = []
    for said in published:
        days = np.array([said.origin, *said.sessions], dtype="datetime64[D]")
        unit = price[said.origin] / said.last_value
        for band in (said.band(coverage) for coverage in (95, 80, 50)):
            low, high = (
                unit * np.array([said.last_value, *side]) for side in (band.low, band.high)
            )
            bands.append((MODEL, FAN[band.coverage] / 2, days, low, high))
        curves.append((MODEL, days, unit * np.array([said.last_value, *said.path])))
        curves.append((MODEL, days[:1], [price[said.origin]]))
    shown = sessions >= np.datetime64(published[0].origin) - np.timedelta64(60, "D")
    check_bands(axes, *bands)
    check_curves(axes, *curves, (TRUTH, sessions[shown], mid[shown]))
    check_holds(
        axes, [*mid[shown], *(edge for _, _, _, low, high in bands for edge in (*low, *high))]
    )
