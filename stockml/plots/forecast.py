"""A night's forecast, and how well such forecasts have done."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stockml.errors import quantity
from stockml.evaluation.path_scores import (
    LAST_CLOSE,
    LSTM,
    PUBLISHED,
    WITHOUT_NETWORK,
    Evaluation,
    skill_over,
)
from stockml.forecasts.forecast import Forecast, Price, price_text
from stockml.forecasts.proper_scores import is_clear
from stockml.models.regressions import baseline_paths
from stockml.plots.style import (
    COLOURS,
    DOT_OF_ONE,
    MODEL,
    MUTED,
    PRICES,
    TRUTH,
    canvas,
    draw_price,
    label_ends,
    over_time,
    price_label,
    too_few,
)
from stockml.storage.arrays import Days, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HISTORY_SHOWN = 150
FAN = {95: 0.13, 80: 0.17, 50: 0.24}  # how dark each band is, the widest first
SHOWN_BASELINES = ("drift", "momentum")
LINES: dict[
    str, tuple[float, tuple[float, ...]]
] = {  # width and dashes, by which lines are known without colours
    "standard average": (1.3, (1, 1.5)),
    "EMA": (1.3, (5, 1.5, 1, 1.5, 1, 1.5)),
    "momentum": (1.3, (5, 1.5, 1, 1.5)),
    "drift": (1.3, (3, 4)),
    WITHOUT_NETWORK: (1.6, (2, 1)),
    LSTM: (2.0, (9, 1.5)),
    PUBLISHED: (2.6, ()),
}
IN_SUBTITLE = (PUBLISHED, LSTM)


def forecast_fan(
    ticker: str, forecast: Forecast, sessions: Days, prices: Floats, *, stands_still: bool = False
) -> "Figure":
    """Tonight's path with its 50, 80 and 95 % bands, after the last sessions and beside the
    baselines.

    stands_still: as `Evaluation` has it.  sessions, prices: (n,), up to the origin; what the
    forecast is of.
    """
    band = forecast.band(80)
    low, high = _price(band.low[-1]), _price(band.high[-1])
    title = f"{ticker}: {low} to {high} in {quantity(len(forecast.path), 'session')} (80%)"
    source = "no price moved" if stands_still else f"width by the {forecast.width_by}"
    figure, (axes,) = canvas(
        title, f"{PRICES[forecast.price].capitalize()} after {forecast.origin}; {source}"
    )
    draw_price(axes, sessions[-HISTORY_SHOWN:], prices[-HISTORY_SHOWN:], TRUTH, 1.5)
    days = fan(axes, forecast, MODEL, FAN, start=forecast.now, linewidth=2.2)
    heights = axes.get_ylim()  # a baseline may lead far from them, below zero after a crash
    ends = [(f"published  {price_text(forecast.path[-1])}", forecast.path[-1], MODEL)]
    for each in () if stands_still else forecast.bands:  # there most would say the same price
        ends += [
            (f"{each.coverage}%  {_price(end)}", end, MUTED)
            for end in (each.high[-1], each.low[-1])
        ]
    for name in SHOWN_BASELINES:
        path = baseline_paths(prices, np.array([len(prices) - 1]), len(forecast.path))[name][0]
        axes.plot(
            days, [forecast.now, *path], color=COLOURS[name], linewidth=1.2, dashes=LINES[name][1]
        )
        beyond = "" if heights[0] <= path[-1] <= heights[1] else f"  {price_text(path[-1])}"
        ends.append((name + beyond, float(path[-1]), COLOURS[name]))
    axes.hlines(forecast.now, days[0], days[-1], color=TRUTH, linewidth=1, linestyle=(0, (1, 2)))
    ends.append((LAST_CLOSE, forecast.now, TRUTH))
    axes.axvline(days[0], color=MUTED, linewidth=0.8)
    axes.set_ylim(heights)
    over_time(axes, price_label(ticker, forecast.price), ends)
    return figure


def _price(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else price_text(value)


def fan(
    axes: "Axes",
    forecast: Forecast,
    colour: str,
    alphas: Mapping[int, float],
    *,
    start: float,
    linewidth: float,
    scale: float = 1.0,
    linestyle: Any = "-",
) -> Days:
    """Draw the path and the bands in `alphas`, times `scale`; returns the days (1 + horizon,) from
    the origin on.

    start: the price at the origin.
    """
    days = np.array([forecast.origin, *forecast.sessions], dtype="datetime64[D]")
    for coverage, alpha in alphas.items():
        band = forecast.band(coverage)
        low, high = (scale * np.array([start, *side]) for side in (band.low, band.high))
        axes.fill_between(days, low, high, color=colour, alpha=alpha, linewidth=0)
    axes.plot(
        days,
        scale * np.array([start, *forecast.path]),
        color=colour,
        linewidth=linewidth,
        linestyle=linestyle,
    )
    return days


def scale_of(forecast: Forecast, sessions: Days, prices: Mapping[Price, Floats]) -> float:
    """The origin's price in the series, (n,), over that in the forecast, which a split changes; 1
    without its bar."""
    price = prices[forecast.price][sessions == np.datetime64(forecast.origin)]
    return float(price[0]) / forecast.last_value if len(price) else 1.0


def skill_by_lead(ticker: str, evaluation: Evaluation) -> "Figure":
    """Skill over the last close at each lead, same origins; a line below the picture is named with
    its skill."""
    naive = evaluation.scores[LAST_CLOSE].mse_by_lead
    by_lead = {
        name: [*map(skill_over, score.mse_by_lead, naive)]
        for name, score in evaluation.scores.items()
    }
    # None as NaN
    skills = {name: np.array(skill, dtype=np.float64) for name, skill in by_lead.items()}
    # none where no price moved
    skills = {name: skill for name, skill in skills.items() if np.isfinite(skill).any()}
    published = skills.get(PUBLISHED, np.zeros(1))
    drawn = [name for name in LINES if name in skills]
    better = sum(1 for skill in published if skill > 0)
    comparison = evaluation.comparison(PUBLISHED, LAST_CLOSE)
    noise = "" if comparison and is_clear(comparison.p_value) else ", could be luck"
    claim = (
        f"beats the last close at {better} of {evaluation.horizon} "
        f"leads{too_few(evaluation.origins) or noise}"
    )
    undefined = "no price moved: skill is undefined"
    title = f"{ticker}: {f'what is published {claim}' if PUBLISHED in skills else undefined}"
    scores = {name: evaluation.scores[name].skill for name in IN_SUBTITLE if name in skills}
    overall = "".join(
        f", {name} {score:+z.3f}" for name, score in scores.items() if score is not None
    )
    measured = (
        f"Skill = 1 − MSE / MSE(last close), {quantity(evaluation.origins, 'origin')}{overall}"
    )
    figure, (axes,) = canvas(title, measured)
    leads = np.arange(1, evaluation.horizon + 1)
    # room for those near zero
    floor = min(-0.3, float(np.nanmin(skills.get(LSTM, published))) - 0.05)
    ceiling = max([0.15, *(float(np.nanmax(skills[name])) + 0.05 for name in drawn)])
    ends = []
    for name in drawn:
        skill, colour, (width, dashes) = skills[name], COLOURS[name], LINES[name]
        shown = np.where(skill < floor, np.nan, skill)
        axes.plot(
            leads,
            shown,
            color=colour,
            linewidth=width,
            dashes=dashes,
            marker=DOT_OF_ONE.get(len(leads)),
        )
        last, lowest = float(skill[np.isfinite(skill)][-1]), float(np.nanmin(skill))
        below = (
            f"  (≤ {np.nanmax(skill):+z.2f})"
            if last < floor
            else f"  (≥ {lowest:+z.2f})"
            if lowest < floor
            else ""
        )
        ends.append((name + below, last, colour))
    axes.axhline(0, color=TRUTH, linewidth=1.2)
    axes.set(
        xlim=(1, max(evaluation.horizon, 2)),
        xlabel="lead, sessions",
        ylim=(floor, ceiling),
        ylabel="skill",
    )
    axes.set_xticks(
        [1, 5, 10, 20, 30, 40, 50]
        if evaluation.horizon == 50
        else leads[:: max(1, len(leads) // 8)]
    )
    label_ends(axes, [*ends, (LAST_CLOSE, 0.0, TRUTH)])
    return figure
