"""What a night learned from, and how the learning went."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stockml.errors import quantity
from stockml.evaluation.path_scores import Evaluation
from stockml.features.origins import OriginSplit
from stockml.features.segments import segments, to_newest_units
from stockml.features.volatility import ewma_volatility
from stockml.forecasts.forecast import price_text
from stockml.models.baselines import baseline_paths
from stockml.plots.style import (
    ACCENT,
    BEHIND,
    COLOURS,
    MODEL,
    MUTED,
    TRUTH,
    canvas,
    draw_price,
    label_ends,
    mark,
    mid_price,
    over_time,
    too_few,
)
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Days, Floats, Indices

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AVERAGES = ("EMA", "standard average")
AVERAGES_SHOWN = 400
SMOOTHING = 0.1
LOSS = "Training: loss of a step; validation: 0.5 · MSE of whole paths; scaled"


def price_history(ticker: str, series: PriceSeries, parts: OriginSplit) -> "Figure":
    """The mid price, with the starts of the train, validation and test parts; a long hole breaks the line."""
    from matplotlib.ticker import LogLocator, NullFormatter

    sessions, mid = series.sessions, series.mid
    years = (sessions[-1] - sessions[0]) / np.timedelta64(365, "D")
    growth = (mid[-1] / (to_newest_units(series) * mid)[0]) ** (1 / max(years, 1.0)) - 1
    yearly = " a year" if years >= 1 else ""  # a few months' change is not to be had every year
    title = f"{ticker}: {price_text(float(mid[-1]))} after {len(mid):,} sessions, {growth:+z.1%}{yearly}"
    figure, (axes,) = canvas(title, f"Mid price = (high + low) / 2, split-adjusted, logarithmic; to {sessions[-1]}")
    for part in segments(series):
        axes.plot(part.sessions, part.mid, color=TRUTH, linewidth=1.1)
    axes.set_yscale("log")
    decades = np.log10(mid.max() / mid.min())
    subs = (1, 1.5, 2, 3, 4, 5, 7) if decades < 2 else (1, 2, 5) if decades < 5 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axes.yaxis.set_major_formatter(lambda x, _: np.format_float_positional(x, 6, fractional=False, trim="-"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    named = ("train", range(parts.train_end), MUTED), ("validation", parts.validation, COLOURS["drift"])
    for name, origins, colour in (*named, ("test", parts.test, MODEL)):
        if origins:  # a short history has a test part alone
            mark(axes, sessions[origins.start], name, colour)
    over_time(axes, mid_price(ticker))
    return figure


def normalised(ticker: str, series: PriceSeries) -> "Figure":
    """Daily moves of the mid price in units of the volatility then known, and smoothed; none over a long hole."""
    parts = segments(series)
    scaled = [np.diff(np.log(part.mid), prepend=np.log(part.mid[:1])) / ewma_volatility(part) for part in parts]
    inside = float((np.abs(np.concatenate(scaled)) <= 3).mean())
    title = f"{ticker}: scaled by what was known, {inside:.1%} of the moves stay within ±3"
    subtitle = f"Daily return of the mid price in units of trailing volatility; below, smoothed by EMA {SMOOTHING}"
    figure, (axes, below) = canvas(title, subtitle, rows=2, sharex=True, height_ratios=(2, 1))
    for part, moves in zip(parts, scaled, strict=True):
        axes.plot(part.sessions, moves, color=BEHIND, linewidth=0.5)
        below.plot(part.sessions, pd.Series(moves).ewm(alpha=SMOOTHING).mean(), color=MODEL, linewidth=1.0)
    axes.axhline(0, color=TRUTH, linewidth=0.8)
    axes.set_ylabel("scaled")
    below.axhline(0, color=TRUTH, linewidth=0.8)
    over_time(below, "smoothed")
    return figure


def averages(ticker: str, sessions: Days, mid: Floats, evaluation: Evaluation) -> "Figure":
    """Standard average and EMA, one step ahead, over the prices of the last sessions. sessions, mid: (n,)."""
    skills = {name: evaluation.one_step[name].skill for name in AVERAGES}
    worse = all(skill is not None and skill < 0 for skill in skills.values()) and not too_few(evaluation.origins)
    claim = "both averages lag, the last close alone is closer" if worse else "how close plain averages come"
    figures = ", ".join(f"{name} {skill:+z.1f}" for name, skill in skills.items() if skill is not None)
    subtitle = f"One step ahead, last {min(AVERAGES_SHOWN, len(mid) - 1)} sessions"
    measured = f"; skill on {quantity(evaluation.origins, 'origin')} of the test part: {figures}" if figures else ""
    figure, (axes,) = canvas(f"{ticker}: {claim}", subtitle + measured)
    shown = sessions[1:][-AVERAGES_SHOWN:]
    draw_price(axes, shown, mid[1:][-AVERAGES_SHOWN:], TRUTH, 1.6)
    ends = [("price", float(mid[-1]), TRUTH)]
    for name, colour in zip(AVERAGES, (ACCENT, MODEL), strict=True):
        forecasts = baseline_paths(mid, np.arange(len(mid) - 1), 1)[name][:, 0]  # entry i is about session i + 1
        draw_price(axes, shown, forecasts[-AVERAGES_SHOWN:], colour, 1.2)
        ends.append((name, float(forecasts[-1]), colour))
    over_time(axes, mid_price(ticker), ends)
    return figure


def training_curves(ticker: str, history: Sequence[Mapping[str, Any]]) -> "Figure":
    """The measured network's loss in training and on the validation part, above its learning rate."""
    rows = [row for row in history if row["network"] == "held_out"]
    epochs = [row["epoch"] for row in rows]
    validation = [row["validation_loss"] for row in rows]
    best = int(np.argmin(validation))
    seconds = sum(row["seconds"] for row in history)
    title = f"{ticker}: the validation loss is lowest after epoch {epochs[best]} of {epochs[-1]}"
    subtitle = f"{LOSS}; {len(history)} epochs of both networks in {seconds:.0f} s"
    figure, (axes, below) = canvas(title, subtitle, rows=2, sharex=True, height_ratios=(3, 1))
    axes.plot(epochs, [row["loss"] for row in rows], color=BEHIND, linewidth=1.8, marker="o", markersize=4)
    axes.plot(epochs, validation, color=MODEL, linewidth=2.2, marker="o", markersize=4)
    axes.plot(epochs[best], validation[best], "o", color=MODEL, markersize=11, markerfacecolor="none")
    below.step(epochs, [row["learning_rate"] for row in rows], where="mid", color=ACCENT, linewidth=1.6)
    rates = sorted({row["learning_rate"] for row in rows})
    rates = rates[:: max(1, len(rates) // 3)]
    axes.set_ylabel("loss")
    below.set(xlabel="epoch", xticks=epochs[:: max(1, len(epochs) // 10)], yscale="log", ylabel="learning rate")
    below.set_yticks(rates, [f"{rate:g}" for rate in rates])
    below.minorticks_off()
    label_ends(axes, [("validation", validation[-1], MODEL), ("training", rows[-1]["loss"], MUTED)])
    return figure


def evolution(ticker: str, sessions: Days, mid: Floats, origins: Indices, by_epoch: Floats) -> "Figure":
    """The tutorial's double figure: test predictions over the epochs, and the best epoch's.

    sessions, mid: (n,). by_epoch: (epochs, origins, horizon), mid prices predicted after each origin.
    """
    leads = np.arange(1, by_epoch.shape[2] + 1)
    actual = mid[origins[:, None] + leads]
    errors = ((by_epoch - actual) ** 2).mean(axis=(1, 2))
    best = int(np.argmin(errors))
    title = f"{ticker}: the test predictions are best after epoch {best + 1} of {len(by_epoch)}"
    subtitle = "Above: every epoch, later ones darker. Below: the best epoch. Shown to look at, not to choose by"
    figure, panels = canvas(title, subtitle, rows=2, sharex=True, height=7.6)
    shown = slice(int(origins[0]) - 50, int(origins[-1]) + len(leads) + 1)
    days, shades = sessions[origins[:, None] + leads], np.linspace(0.12, 0.9, len(by_epoch))
    for axes, drawn in zip(panels, (zip(by_epoch, shades, strict=True), [(by_epoch[best], 1.0)]), strict=True):
        axes.plot(sessions[shown], mid[shown], color=TRUTH, linewidth=1.0)
        for paths, shade in drawn:
            axes.plot(days.T, paths.T, color=ACCENT, alpha=shade, linewidth=1.1)
        over_time(axes, mid_price(ticker), [("price", mid[shown][-1], TRUTH), ("predicted", paths[-1, -1], ACCENT)])
    return figure
