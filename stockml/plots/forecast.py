"""What came of a night: the forecast, and how well such forecasts have done. Every figure returns a Figure."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from stockml.evaluation.evaluate import LAST_CLOSE, LSTM
from stockml.evaluation.metrics import Evaluation
from stockml.forecasts.forecast import Forecast
from stockml.models.baselines import BASELINES
from stockml.plots.style import COLOURS, FAN, MODEL, MUTED, TRUTH, canvas, dates, label_ends
from stockml.storage.arrays import Days, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


HISTORY_SHOWN = 150
SHOWN_BASELINES = ("drift", "momentum")


def forecast_fan(ticker: str, forecast: Forecast, sessions: Days, mid: Floats) -> "Figure":
    """Tonight's path with its 50, 80 and 95 % bands, after the last sessions and beside the baselines.

    sessions, mid: (n,), up to the forecast's origin.
    """
    change = forecast.path[-1] / forecast.now - 1
    title = f"{ticker}: {forecast.path[-1]:.2f} expected in {len(forecast.path)} sessions, {change:+.1%}"
    if forecast.no_skill:
        title = f"{ticker}: no skill shown, so the last close {forecast.now:.2f} is published"
    elif (ahead := forecast.skilled_leads) < len(forecast.path):
        title = f"{ticker}: skill shown up to lead {ahead}, then the last close {forecast.now:.2f}"
    rise = f"{forecast.probability_of_rise:.0%} chance of a higher price in {forecast.direction_step} sessions"
    figure, (axes,) = canvas(title, f"Mid price after the close of {forecast.origin}; {rise}")
    recent = slice(-HISTORY_SHOWN, None)
    axes.plot(sessions[recent], mid[recent], color=TRUTH, linewidth=1.5)
    days = np.array([forecast.origin, *forecast.sessions], dtype="datetime64[D]")
    ends = _fan(axes, forecast, days)
    for name in SHOWN_BASELINES:
        path = BASELINES[name].path(mid, np.array([len(mid) - 1]), len(forecast.path))[0]
        axes.plot(days, [forecast.now, *path], color=COLOURS[name], linewidth=1, linestyle=(0, (4, 2)))
        ends.append((name, float(path[-1]), COLOURS[name]))
    axes.hlines(forecast.now, days[0], days[-1], color=TRUTH, linewidth=1, linestyle=(0, (1, 2)))
    ends.append((LAST_CLOSE, forecast.now, TRUTH))
    axes.axvline(days[0], color=MUTED, linewidth=0.8)
    axes.margins(x=0)
    axes.set_ylabel("mid price")
    dates(axes)
    label_ends(axes, ends)
    return figure


def _fan(axes: "Axes", forecast: Forecast, days: Days) -> list[tuple[str, float, str]]:
    """Draw the bands and the path; returns the labels of their ends."""
    ends = []
    for band in sorted(forecast.bands, key=lambda band: -band.coverage):
        low, high = ([forecast.now, *side] for side in (band.low, band.high))
        axes.fill_between(days, low, high, color=MODEL, alpha=FAN[band.coverage], linewidth=0)
        ends.append((f"{band.coverage}%  {band.high[-1]:.0f}", band.high[-1], MUTED))
        ends.append((f"{band.coverage}%  {band.low[-1]:.0f}", band.low[-1], MUTED))
    axes.plot(days, [forecast.now, *forecast.path], color=MODEL, linewidth=2.2)
    ends.append((f"published  {forecast.path[-1]:.2f}", forecast.path[-1], MODEL))
    return ends


def skill_by_lead(ticker: str, evaluation: Evaluation) -> "Figure":
    """Skill of the LSTM and every baseline at each lead, on the same origins: above zero beats the last close."""
    naive = evaluation.scores[LAST_CLOSE].mse_by_lead
    skills = {name: _skill(score.mse_by_lead, naive) for name, score in evaluation.scores.items() if name != LAST_CLOSE}
    lstm = evaluation.scores[LSTM].skill
    better = sum(1 for skill in skills[LSTM] if skill > 0)
    title = f"{ticker}: the LSTM beats the last close at {better} of {evaluation.horizon} leads"
    overall = "" if lstm is None else f"; {lstm:+.3f} over the whole path"
    figure, (axes,) = canvas(title, f"Skill = 1 − MSE / MSE(last close), {evaluation.origins} origins{overall}")
    leads = np.arange(1, evaluation.horizon + 1)
    floor, ceiling = _skill_limits(skills)
    ends = []
    for name, skill in skills.items():
        shown = np.where(skill < floor, np.nan, skill)
        axes.plot(leads, shown, color=COLOURS.get(name, MUTED), linewidth=2.4 if name == LSTM else 1.3)
        below = f"  (≤ {np.nanmax(skill):.1f})" if skill[-1] < floor else ""
        ends.append((name + below, max(float(skill[-1]), floor), COLOURS.get(name, MUTED)))
    axes.axhline(0, color=TRUTH, linewidth=1.2)
    axes.set_ylim(floor, ceiling)
    axes.set_xlim(1, evaluation.horizon)
    axes.set_xticks([1, 5, 10, 20, 30, 40, 50] if evaluation.horizon == 50 else leads[:: max(1, len(leads) // 8)])
    axes.set_xlabel("lead, sessions")
    axes.set_ylabel("skill")
    label_ends(axes, [*ends, (LAST_CLOSE, 0.0, TRUTH)])
    return figure


def _skill(mse: tuple[float | None, ...], naive: tuple[float | None, ...]) -> Floats:
    pairs = zip(mse, naive, strict=True)
    return np.array([1 - each / other if each is not None and other else np.nan for each, other in pairs])


def _skill_limits(skills: Mapping[str, Floats]) -> tuple[float, float]:
    """Room for the contenders near zero; the averages, far below, are named at the edge instead of flattening all."""
    highest = max(float(np.nanmax(skill)) for skill in skills.values())
    lstm = float(np.nanmin(skills[LSTM]))
    return min(-0.3, lstm - 0.05), max(0.15, highest + 0.05)
