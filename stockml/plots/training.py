"""What a night learned from, and how the learning went."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stockml.errors import quantity
from stockml.evaluation.path_scores import Evaluation
from stockml.features.origins import OriginSplit, segments, to_newest_units
from stockml.features.volatility import Volatilities
from stockml.forecasts.forecast import Price, price_text
from stockml.models.regressions import baseline_paths
from stockml.plots.style import (
    ACCENT,
    BEHIND,
    COLOURS,
    DOT_OF_ONE,
    MODEL,
    MUTED,
    TRUTH,
    canvas,
    draw_price,
    label_ends,
    mark,
    over_time,
    price_label,
    too_few,
)
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Days, Floats, Indices

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AVERAGES = ("EMA", "standard average")
AVERAGES_SHOWN = 400
SMOOTHING = 0.1
STEP_LOSS = "Mean pinball loss of each batch, own stretches and replay, in units of σ · √lead"
LOSS = "Training: loss of a step; validation: 0.5 · MSE of whole paths; scaled"


def price_history(ticker: str, series: PriceSeries, parts: OriginSplit) -> "Figure":
    """The close, with the starts of the train, validation and test parts; a long hole breaks the
    line."""
    from matplotlib.ticker import LogLocator, NullFormatter

    sessions, close = series.sessions, series.close
    years = (sessions[-1] - sessions[0]) / np.timedelta64(365, "D")
    growth = (close[-1] / (to_newest_units(series) * close)[0]) ** (1 / max(years, 1.0)) - 1
    yearly = " a year" if years >= 1 else ""  # a few months' change is not to be had every year
    title = (
        f"{ticker}: {price_text(float(close[-1]))} after {len(close):,} sessions, "
        f"{growth:+z.1%}{yearly}"
    )
    figure, (axes,) = canvas(title, f"Close, split-adjusted, logarithmic; to {sessions[-1]}")
    for part in segments(series):
        axes.plot(part.sessions, part.close, color=TRUTH, linewidth=1.1)
    axes.set_yscale("log")
    decades = np.log10(close.max() / close.min())
    subs = (1, 1.5, 2, 3, 4, 5, 7) if decades < 2 else (1, 2, 5) if decades < 5 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axes.yaxis.set_major_formatter(
        lambda x, _: np.format_float_positional(x, 6, fractional=False, trim="-")
    )
    axes.yaxis.set_minor_formatter(NullFormatter())
    named = (
        ("train", range(parts.train_end), MUTED),
        ("validation", parts.validation, COLOURS["drift"]),
    )
    for name, origins, colour in (*named, ("test", parts.test, MODEL)):
        if origins:  # a short history has a test part alone
            mark(axes, sessions[origins.start], name, colour)
    over_time(axes, price_label(ticker))
    return figure


def normalised(ticker: str, series: PriceSeries) -> "Figure":
    """Daily moves of the close in units of the volatility then known, and smoothed; none over a
    long hole."""
    parts = segments(series)
    scaled = [
        np.diff(np.log(part.close), prepend=np.nan) / Volatilities.of(part).ewma_60
        for part in parts
    ]
    known = np.concatenate([moves[1:] for moves in scaled])
    inside = float((np.abs(known) <= 3).mean())
    title = f"{ticker}: scaled by what was known, {inside:.1%} of the moves stay within ±3"
    subtitle = (
        "Daily return of the close in units of trailing volatility; below, smoothed by EMA "
        f"{SMOOTHING}"
    )
    figure, (axes, below) = canvas(title, subtitle, rows=2, sharex=True, height_ratios=(2, 1))
    for part, moves in zip(parts, scaled, strict=True):
        axes.plot(part.sessions, moves, color=BEHIND, linewidth=0.5)
        below.plot(
            part.sessions, pd.Series(moves).ewm(alpha=SMOOTHING).mean(), color=MODEL, linewidth=1.0
        )
    axes.axhline(0, color=TRUTH, linewidth=0.8)
    axes.set_ylabel("scaled")
    below.axhline(0, color=TRUTH, linewidth=0.8)
    over_time(below, "smoothed")
    return figure


def averages(
    ticker: str, sessions: Days, prices: Floats, price: Price, evaluation: Evaluation
) -> "Figure":
    """Standard average and EMA, a session ahead, over the prices of the last sessions. sessions,
    prices: (n,)."""
    skills = {name: evaluation.one_step[name].skill for name in AVERAGES}
    worse = all(skill is not None and skill < 0 for skill in skills.values()) and not too_few(
        evaluation.origins
    )
    claim = (
        "both averages lag, the last close alone is closer"
        if worse
        else "how close plain averages come"
    )
    figures = ", ".join(
        f"{name} {skill:+z.1f}" for name, skill in skills.items() if skill is not None
    )
    subtitle = f"One step ahead, last {min(AVERAGES_SHOWN, len(prices) - 1)} sessions"
    measured = (
        f"; skill on {quantity(evaluation.origins, 'origin')} of the test part: {figures}"
        if figures
        else ""
    )
    figure, (axes,) = canvas(f"{ticker}: {claim}", subtitle + measured)
    shown = sessions[1:][-AVERAGES_SHOWN:]
    draw_price(axes, shown, prices[1:][-AVERAGES_SHOWN:], TRUTH, 1.6)
    ends = [("price", float(prices[-1]), TRUTH)]
    for name, colour in zip(AVERAGES, (ACCENT, MODEL), strict=True):
        # entry i is about session i + 1
        forecasts = baseline_paths(prices, np.arange(len(prices) - 1), 1)[name][:, 0]
        draw_price(axes, shown, forecasts[-AVERAGES_SHOWN:], colour, 1.2)
        ends.append((name, float(forecasts[-1]), colour))
    over_time(axes, price_label(ticker, price), ends)
    return figure


def loss_curve(ticker: str, history: Sequence[Mapping[str, Any]], validated: str) -> "Figure":
    """Tonight's training, step by step: the loss of both networks' batches, above the learning
    rate.

    validated: what it gained on the validation part, in words.
    """
    figure, (axes, below) = canvas(
        f"{ticker}: {validated}", STEP_LOSS, rows=2, sharex=True, height_ratios=(3, 1)
    )
    ends = []
    for network, colour, label in (
        ("held_out", MODEL, "scored"),
        ("published", ACCENT, "published"),
    ):
        rows = [row for row in history if row["network"] == network]
        if rows:
            steps = [row["step"] for row in rows]
            losses, dot = [row["loss"] for row in rows], DOT_OF_ONE.get(len(rows))
            axes.plot(steps, losses, color=colour, linewidth=1.8, marker=dot)
            ends.append((label, rows[-1]["loss"], colour))
            below.step(
                steps,
                [row["learning_rate"] for row in rows],
                where="mid",
                color=MUTED,
                linewidth=1.6,
            )
    axes.set_ylabel("loss")
    below.set(xlabel="step", ylabel="learning rate", ylim=(0, None))
    label_ends(axes, ends)
    return figure


def training_curves(ticker: str, history: Sequence[Mapping[str, Any]]) -> "Figure":
    """The measured network's loss in training and on the validation part, above its learning
    rate."""
    rows = [row for row in history if row["network"] == "held_out"]
    epochs = [row["epoch"] for row in rows]
    validation = [row["validation_loss"] for row in rows]
    best = int(np.argmin(validation))
    seconds = sum(row["seconds"] for row in history)
    title = f"{ticker}: the validation loss is lowest after epoch {epochs[best]} of {epochs[-1]}"
    subtitle = f"{LOSS}; {len(history)} epochs of both networks in {seconds:.0f} s"
    figure, (axes, below) = canvas(title, subtitle, rows=2, sharex=True, height_ratios=(3, 1))
    axes.plot(
        epochs, [row["loss"] for row in rows], color=BEHIND, linewidth=1.8, marker="o", markersize=4
    )
    axes.plot(epochs, validation, color=MODEL, linewidth=2.2, marker="o", markersize=4)
    axes.plot(
        epochs[best], validation[best], "o", color=MODEL, markersize=11, markerfacecolor="none"
    )
    below.step(
        epochs, [row["learning_rate"] for row in rows], where="mid", color=ACCENT, linewidth=1.6
    )
    rates = sorted({row["learning_rate"] for row in rows})
    rates = rates[:: max(1, len(rates) // 3)]
    axes.set_ylabel("loss")
    below.set(
        xlabel="epoch",
        xticks=epochs[:: max(1, len(epochs) // 10)],
        yscale="log",
        ylabel="learning rate",
    )
    below.set_yticks(rates, [f"{rate:g}" for rate in rates])
    below.minorticks_off()
    label_ends(axes, [("validation", validation[-1], MODEL), ("training", rows[-1]["loss"], MUTED)])
    return figure


def evolution(
    ticker: str, sessions: Days, mid: Floats, origins: Indices, by_epoch: Floats
) -> "Figure":
    """The tutorial's double figure: test predictions over the epochs, and the best epoch's.

    sessions, mid: (n,). by_epoch: (epochs, origins, horizon), mid prices predicted after each
    origin.
    """
    leads = np.arange(1, by_epoch.shape[2] + 1)
    actual = mid[origins[:, None] + leads]
    errors = ((by_epoch - actual) ** 2).mean(axis=(1, 2))
    best = int(np.argmin(errors))
    title = f"{ticker}: the test predictions are best after epoch {best + 1} of {len(by_epoch)}"
    subtitle = (
        "Above: every epoch, later ones darker. Below: the best epoch. Shown to look at, not to "
        "choose by"
    )
    figure, panels = canvas(title, subtitle, rows=2, sharex=True, height=7.6)
    shown = slice(int(origins[0]) - 50, int(origins[-1]) + len(leads) + 1)
    days, shades = sessions[origins[:, None] + leads], np.linspace(0.12, 0.9, len(by_epoch))
    for axes, drawn in zip(
        panels, (zip(by_epoch, shades, strict=True), [(by_epoch[best], 1.0)]), strict=True
    ):
        axes.plot(sessions[shown], mid[shown], color=TRUTH, linewidth=1.0)
        for paths, shade in drawn:
            axes.plot(days.T, paths.T, color=ACCENT, alpha=shade, linewidth=1.1)
        ends = [("price", mid[shown][-1], TRUTH), ("predicted", paths[-1, -1], ACCENT)]
        over_time(axes, price_label(ticker, "mid"), ends)
    return figure
