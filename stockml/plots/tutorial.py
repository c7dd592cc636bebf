"""The tutorial's pictures in its page's order: the page's conclusion as the title, a baseline's
answer below it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stockml.evaluation.tutorial_report import PAGE_SHARE, PUBLISHED, TutorialReport
from stockml.models.regressions import exponential_mean, trailing_mean
from stockml.models.tutorial_recipe import (
    LABEL_REACH,
    WINDOW,
    Prepared,
    Streams,
    ema_ahead,
    one_step_errors,
    scaled,
    windows,
)
from stockml.plots import style
from stockml.plots.style import ACCENT, BEHIND, GRID, MODEL, MUTED, TRUTH, canvas, mark, over_time
from stockml.storage.arrays import Days, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 250  # sessions of the lower panels, where lines stay distinct
STREAMS, UNROLLED = 5, 5  # the page's own demonstration
EXAMPLE = (0.4, 0.5)  # the page's: the value, and the mean so far
EPOCHS_BETWEEN = 3  # the page draws every third


def history(report: TutorialReport) -> "Figure":
    """The mid price of all sessions, with where the test part begins."""
    end = report.fitted.recipe.prepared.train_end
    figure, (axes,) = canvas(
        f"{report.name}: “data with various patterns occurring over time”",
        f"Mid price = (high + low) / 2 of {len(report.mid):,} sessions; a price that moves its "
        "range all the time has no fixed scale",
    )
    axes.plot(report.sessions, report.mid, color=TRUTH, linewidth=0.9)
    mark(axes, report.sessions[end], "test", MODEL)
    over_time(axes, "mid price")
    return figure


def normalised_series(
    name: str, sessions: Days, mid: Floats, prepared: Prepared, then: str = "test"
) -> "Figure":
    """The whole series in the scale of its windows, and the training part smoothed as it is learned
    from.

    sessions, mid: (n,), mid in price; a report's, or a night's of the `tutorial` profile.  then:
    the part that follows.
    """
    end, error = prepared.train_end, one_step_errors(prepared)["last value"]
    figure, (axes, below) = canvas(
        f"{name}: windows between 0 and 1, smoothed to “get rid of the inherent raggedness”",
        f"A window of {WINDOW:,} sessions knows its later extremes: a leak. One smooth step "
        f"ahead, the last value errs by {error:.5f}",
        rows=2,
        height=7.0,
    )
    for panel, at in ((axes, slice(0, len(sessions))), (below, slice(max(0, end - SHOWN), end))):
        raw, shown = scaled(mid, prepared.low, prepared.high)[at], sessions[at]
        panel.plot(shown, raw, color=BEHIND, linewidth=0.8)
        panel.plot(shown[:end], prepared.values[at][:end], color=MODEL, linewidth=1.1)
        ends = [
            ("scaled", float(raw[-1]), MUTED),
            ("smoothed", float(prepared.values[end - 1]), MODEL),
        ]
        over_time(panel, "scaled mid price", ends)
    for begin in windows(end)[1:]:
        axes.axvline(sessions[begin], color=GRID, linewidth=1.2)
    if end < len(sessions):
        mark(axes, sessions[end], then, MODEL)
    return figure


def average(
    report: TutorialReport, *, name: str, mean: Callable[[Floats], Floats], claim: str, first: int
) -> "Figure":
    """The mean of earlier sessions as the forecast of every session from `first` on, over the
    actual prices; scaled.

    mean: of values (n,) the means (n,), each of the points up to its own.
    """
    values, end = report.fitted.recipe.prepared.values, report.fitted.recipe.prepared.train_end
    page = "page" if report.is_of_the_page else f"page, {PAGE_SHARE}:"
    # known at the point before; 0 for the first, as on the page
    forecasts = np.concatenate([[0.0], mean(values)[:-1]])
    figure, (axes, below) = canvas(
        f"The {name} {claim}: MSE {report.one_step[name]:.5f} ({page} {PUBLISHED[name]:.5f})",
        "One step ahead, 0.5 · MSE of the training part; the last value as it is "
        f"{report.one_step['last value']:.5f}. Below: its end",
        rows=2,
        height=7.0,
    )
    for panel, at in (
        (axes, slice(first, len(values))),
        (below, slice(max(first, end - SHOWN), end)),
    ):
        panel.plot(report.sessions[at], values[at], color=TRUTH, linewidth=1.8)
        panel.plot(report.sessions[at], forecasts[at], color=ACCENT, linewidth=0.9)
        ends = [("truth", float(values[at][-1]), TRUTH), (name, float(forecasts[at][-1]), ACCENT)]
        over_time(panel, "scaled mid price", ends)
    mark(axes, report.sessions[end], "test", MODEL)
    return figure


def many_steps(report: TutorialReport) -> "Figure":
    """Why the EMA says nothing beyond one step: the page's worked numbers, and the EMA from the
    test part's starts."""
    recipe, (value, mean) = report.fitted.recipe, EXAMPLE
    horizon = recipe.settings.evaluation.horizon
    steps, path = np.arange(1, horizon + 1), ema_ahead(value, mean, horizon)
    figure, (axes, below) = canvas(
        "“You'll keep getting the same answer for all the future prediction steps”",
        f"0.5 · MSE of {horizon} steps from the test part's starts: EMA {report.paths['EMA']:.5f}, "
        f"the last value, as constant, {report.paths['last value']:.5f}",
        rows=2,
        height=7.6,
    )
    axes.plot(steps, path, color=ACCENT, linewidth=1.8, marker="o", markersize=3)
    axes.plot([0], [value], "o", color=TRUTH)
    axes.plot([0], [mean], "o", color=MUTED)
    for text, at, colour in ((f"x = {value}", value, TRUTH), (f"EMA = {mean}", mean, MUTED)):
        axes.annotate(
            text, (0, at), xytext=(8, 0), textcoords="offset points", va="center", color=colour
        )
    first, second = (
        f"0.5 · {mean} + 0.5 · {value} = {path[0]:.2f}",
        f"0.5 · {path[0]:.2f} + 0.5 · {path[0]:.2f} = ",
    )
    axes.annotate(
        f"step 1: {first};   step 2: {second}{path[1]:.2f};   step {horizon}: {path[-1]:.2f}",
        (4, path[-1]),
        xytext=(0, 14),
        textcoords="offset points",
    )
    axes.set(xlim=(-1, horizon + 1), xlabel="step", ylim=(0.36, 0.54), ylabel="the page's example")
    _from_starts(below, report)
    return figure


def _from_starts(axes: "Axes", report: TutorialReport) -> None:
    recipe = report.fitted.recipe
    prepared, horizon = recipe.prepared, recipe.settings.evaluation.horizon
    means = exponential_mean(prepared.values, start=0.0)
    shown = slice(int(recipe.test[0]) - horizon, int(recipe.test[-1]) + horizon)
    axes.plot(report.sessions[shown], report.mid[shown], color=TRUTH, linewidth=1.0)
    for start in recipe.test.tolist():
        path = ema_ahead(float(prepared.values[start - 1]), float(means[start - 2]), horizon)
        price = prepared.prices(np.array([start - 1]), path[None])[0]
        axes.plot(report.sessions[start : start + horizon], price, color=ACCENT, linewidth=1.6)
    over_time(
        axes,
        "mid price",
        [("truth", float(report.mid[shown][-1]), TRUTH), ("EMA", float(price[-1]), ACCENT)],
    )


def batches(report: TutorialReport) -> "Figure":
    """What the generator reads: five streams, five unrolled steps, each input with the label drawn
    for it."""
    prepared = report.fitted.recipe.prepared
    rng = np.random.default_rng(report.fitted.recipe.settings.training.seed)
    streams = Streams.of(prepared.values[: prepared.train_end], STREAMS, UNROLLED)
    at, label_at, _ = streams.places(rng.random((UNROLLED, STREAMS, 2)))
    figure, panels = canvas(
        (
            f"Labels drawn from x(t+1) … x(t+{LABEL_REACH}), which “will not be very far from "
            "each other”"
        ),
        f"{STREAMS} streams, {UNROLLED} unrolled steps: inputs filled, their labels hollow. The "
        f"last value errs by {report.one_step['last value']:.5f} at the next step",
        columns=STREAMS,
        height=4.6,
    )
    for number, axes in enumerate(panels):
        first, inputs, labels = int(at[0, number]), at[:, number], label_at[:, number]
        near = np.arange(first, first + UNROLLED + LABEL_REACH)
        axes.plot(near - first, prepared.values[near], color=GRID, linewidth=1.6, zorder=1)
        for x, y in zip(inputs.tolist(), labels.tolist(), strict=True):
            axes.annotate(
                "",
                (y - first, prepared.values[y]),
                (x - first, prepared.values[x]),
                arrowprops={
                    "arrowstyle": "->",
                    "color": ACCENT,
                    "connectionstyle": "arc3,rad=-0.35",
                },
            )
        axes.plot(inputs - first, prepared.values[inputs], "o", color=MODEL, markersize=6)
        axes.plot(
            labels - first,
            prepared.values[labels],
            "o",
            color=ACCENT,
            markersize=10,
            markerfacecolor="none",
        )
        axes.set_title(str(report.sessions[first]), fontsize=10, color=MUTED)
        axes.set_xticks(range(0, UNROLLED + LABEL_REACH, 2))
        axes.tick_params(axis="y", labelsize=8)
        axes.set_xlabel("sessions later", fontsize=9)
        axes.margins(0.12)
    panels[0].set_ylabel("scaled and smoothed mid price")
    return figure


def predictions(report: TutorialReport) -> "Figure":
    """The double figure: the test part's predictions over the epochs, fading in; below, the best
    epoch's alone."""
    fitted, best = report.fitted, report.best_epoch
    recipe, errors, constant = fitted.recipe, report.by_epoch, report.paths["last value"]
    horizon = recipe.settings.evaluation.horizon
    page = f"; page {report.published:.5f} on {PAGE_SHARE}" if report.published else ""
    claim = (
        "predicts “correctly most of the time”"
        if errors[best - 1] < constant
        else "does not predict “correctly”"
    )
    figure, panels = canvas(
        f"{report.cell} {claim}: best epoch {best} of {len(errors)}, MSE {errors[best - 1]:.5f}",
        (
            f"0.5 · MSE of {horizon} steps; the last value {constant:.5f}{page}. Above: every "
            "third epoch, later darker"
        ),
        rows=2,
        sharex=True,
        height=8.0,
    )
    shown = slice(int(recipe.test[0]) - horizon, int(recipe.test[-1]) + horizon)
    truth = recipe.prepared.values[shown]
    days = report.sessions[recipe.test[:, None] + np.arange(horizon)]
    shown_epochs = fitted.test_predictions[::EPOCHS_BETWEEN]
    shades = np.linspace(0.9, 0.15, len(shown_epochs))[::-1].tolist()  # a single one is the newest
    drawn = zip(shown_epochs, shades, strict=True), [(fitted.test_predictions[best - 1], 1.0)]
    for axes, epochs in zip(panels, drawn, strict=True):
        axes.plot(report.sessions[shown], truth, color=TRUTH, linewidth=1.0)
        for paths, shade in epochs:
            axes.plot(days.T, paths.T, color=ACCENT, alpha=shade, linewidth=1.2)
        if axes is panels[0]:  # the first epochs' predictions go beyond it, the newest one's do not
            seen = np.array(
                [*(truth + np.ptp(truth) / 2), *(truth - np.ptp(truth) / 2), *shown_epochs[-1].flat]
            )
            axes.set_ylim(seen.min(), seen.max())
        over_time(
            axes,
            "scaled mid price",
            [("truth", truth[-1], TRUTH), ("predicted", paths[-1, -1], ACCENT)],
        )
    return figure


FIGURES: dict[str, Callable[[TutorialReport], "Figure"]] = {
    "1-history": history,
    "2-normalised": lambda report: normalised_series(
        report.name, report.sessions, report.mid, report.fitted.recipe.prepared
    ),
    "3-standard-average": partial(
        average,
        name="standard average",
        mean=trailing_mean,
        claim="follows “quite closely”",
        first=100,
    ),
    "4-ema": partial(
        average,
        name="EMA",
        mean=partial(exponential_mean, start=0.0),
        claim="“fits a perfect line”",
        first=1,
    ),
    "5-ema-many-steps": many_steps,
    "6-batches": batches,
    "7-predictions": predictions,
}


def draw(report: TutorialReport, folder: Path) -> tuple[Path, ...]:
    return style.save({name: partial(figure, report) for name, figure in FIGURES.items()}, folder)
