"""How good the forecasts are: residuals, calibration, realised volatility, and outcomes of
published ones."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stockml.errors import quantity
from stockml.evaluation.path_scores import LAST_CLOSE, PUBLISHED
from stockml.features.origins import segment_start
from stockml.forecasts.forecast import Forecast, Price
from stockml.forecasts.ledger_scores import RealisedScores
from stockml.forecasts.outlook import SESSIONS_A_YEAR, Outlook
from stockml.forecasts.proper_scores import BandScores
from stockml.plots.forecast import FAN, fan, scale_of
from stockml.plots.style import (
    BEHIND,
    COLOURS,
    DOT_OF_ONE,
    MODEL,
    MUTED,
    TRUTH,
    canvas,
    dates,
    draw_price,
    label_ends,
    over_time,
    price_label,
    too_few,
)
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Days, Floats, Indices

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEDGER_SHOWN = 6


def residuals(
    ticker: str, sessions: Days, prices: Floats, close: Floats, origins: Indices, paths: Floats
) -> "Figure":
    """The published path's error at the last lead, over time and as a distribution, beside the last
    close's.

    sessions, prices, close: (n,). origins: (m,), whose outcomes are known. paths: (m, horizon), of
    `prices`.
    """
    horizon = paths.shape[1]
    actual = prices[origins + horizon]
    errors, naive = actual / paths[:, -1] - 1, actual / close[origins] - 1
    span = quantity(horizon, "session")
    bias = f"{errors.mean():+z.1%} from the forecast on average{too_few(len(origins))}"
    subtitle = (
        f"What happened against what was said {span} before, {quantity(len(origins), 'origin')} "
        "of the test part"
    )
    title = f"{ticker}: after {span}, the price was {bias}"
    figure, (axes, beside) = canvas(title, subtitle, columns=2, sharey=True, width_ratios=(3, 1))
    axes.axhline(0, color=TRUTH, linewidth=1)
    axes.plot(sessions[origins], naive, "o", color=BEHIND, markersize=6, markerfacecolor="none")
    axes.plot(sessions[origins], errors, "o", color=MODEL, markersize=4)
    axes.yaxis.set_major_formatter(lambda fraction, _: f"{100 * round(fraction, 6):zg}%")
    axes.set_ylabel(f"price after {span}, from the forecast")
    bins = np.linspace(min(errors.min(), naive.min()), max(errors.max(), naive.max()), 24).tolist()
    beside.hist(naive, bins, orientation="horizontal", color=BEHIND, alpha=0.5)
    beside.hist(errors, bins, orientation="horizontal", histtype="step", color=MODEL, linewidth=1.8)
    beside.axhline(0, color=TRUTH, linewidth=1)
    beside.text(0.0, 1.02, LAST_CLOSE, color=MUTED, transform=beside.transAxes)  # above the bars
    beside.text(1.0, 1.02, PUBLISHED, color=MODEL, transform=beside.transAxes, ha="right")
    beside.set_xlabel("origins")
    beside.locator_params(axis="x", nbins=4, integer=True)
    dates(axes)
    return figure


def calibration(ticker: str, scores: BandScores, origins: int) -> "Figure":
    """How often the price was inside the 50, 80 and 95 % bands at each lead, on origins that they
    had not seen."""
    pooled = scores.bands["80"].coverage
    title = f"{ticker}: the 80% bands held {pooled:.0%} of the prices{too_few(origins)}"
    subtitle = (
        f"Share of prices inside the band by lead, {quantity(origins, 'origin')} of the test part"
    )
    figure, (axes,) = canvas(title, subtitle)
    ends = []
    for (name, score), colour in zip(
        scores.bands.items(), (COLOURS["drift"], MODEL, COLOURS["champion"]), strict=True
    ):
        leads = np.arange(1, len(score.coverage_by_lead) + 1)
        axes.plot(
            leads,
            score.coverage_by_lead,
            color=colour,
            linewidth=2,
            marker=DOT_OF_ONE.get(len(leads)),
        )
        axes.axhline(int(name) / 100, color=colour, linewidth=1, linestyle=(0, (4, 2)))
        ends.append((f"{name}%: {score.coverage:.0%} inside", score.coverage_by_lead[-1], colour))
    axes.margins(x=0)
    lowest = min(fraction for score in scores.bands.values() for fraction in score.coverage_by_lead)
    axes.set(
        ylim=(min(0.2, lowest - 0.02), 1.02),
        xlabel="lead, sessions (dashed: promised)",
        ylabel="inside the band",
    )
    axes.yaxis.set_major_formatter("{x:.0%}")
    label_ends(axes, ends)
    return figure


def volatility(
    ticker: str,
    series: PriceSeries,
    origins: Indices,
    expected: Floats,
    outlook: Outlook | None,
    span: int,
) -> "Figure":
    """The volatility expected of the `span` sessions after each origin, over the realised one; then
    tonight's.

    The line breaks between two parts of the origins, whose outcomes must not touch: nothing was
    expected there. origins, expected: (m,), annualised, as fractions.  outlook: tonight's; None
    without one of this span.
    """
    finding, usual = (
        "how far the price was expected to go, and how far it went",
        outlook and outlook.usual,
    )
    if outlook is not None:
        finding = f"{outlook.volatility:.1%} volatility a year expected" + (
            f", {outlook.place}" if usual else ""
        )
    tint = "; tinted: 80% of the forecasts" if usual else ""
    subtitle = (
        f"Annualised, next {span} sessions, {quantity(len(origins), 'origin')} it had not "
        f"seen{tint}"
    )
    figure, (axes,) = canvas(f"{ticker}: {finding}", subtitle)
    since = np.arange(origins[0], origins[-1] + 1)
    realised = realised_after(series, since, span)
    axes.fill_between(
        series.sessions[since], 0, 100 * realised, color=MUTED, alpha=0.25, linewidth=0
    )
    if len(since) == 1:
        axes.plot(series.sessions[since], 100 * realised, "o", color=MUTED, markersize=7)
    apart = np.diff(origins)
    breaks = np.flatnonzero(apart > 2 * apart.min(initial=len(series))) + 1
    for part in np.split(np.arange(len(origins)), breaks):
        dot = DOT_OF_ONE.get(len(part))
        axes.plot(
            series.sessions[origins[part]],
            100 * expected[part],
            color=MODEL,
            linewidth=1.8,
            marker=dot,
        )
    ends = [
        ("expected", 100 * float(expected[-1]), MODEL),
        ("realised", 100 * float(realised[-1]), MUTED),
    ]
    if usual:
        axes.axhspan(*(100 * each for each in usual), color=MODEL, alpha=0.07, linewidth=0)
    if outlook is not None:
        axes.plot(series.sessions[-1:], [100 * outlook.volatility], "o", color=MODEL, markersize=7)
        ends[0] = (f"tonight {outlook.volatility:.1%}", 100 * outlook.volatility, MODEL)
    axes.set(ylim=(0, None), ylabel="volatility, % a year")
    dates(axes)
    label_ends(axes, ends)
    return figure


def realised_after(series: PriceSeries, origins: Indices, span: int) -> Floats:
    """(m,) annualised volatility of the closes over the `span` sessions after each origin; NaN over
    a long hole."""
    squares = np.diff(np.log(series.close)) ** 2
    means = np.convolve(squares, np.ones(span) / span, mode="valid")
    unbroken = segment_start(series, origins) == segment_start(series, origins + span)
    return np.where(unbroken, np.sqrt(means[origins] * SESSIONS_A_YEAR), np.nan)


def ledger(
    ticker: str,
    published: Sequence[Forecast],
    scores: RealisedScores,
    sessions: Days,
    prices: Mapping[Price, Floats],
) -> "Figure":
    """Past forecasts as fans over what then happened.

    published: the live ones, oldest first.  scores: of their steps that have come due, at least
    one. sessions, prices: (n,), through tonight.
    """
    bar_days = set(sessions.tolist())
    due = [
        each
        for each in published
        if each.origin in bar_days and not bar_days.isdisjoint(each.sessions)
    ]
    inside = f"{scores.coverage_80:.0%} of {quantity(scores.steps, 'price')}"
    period = f"of {due[0].origin}" if len(due) == 1 else f"from {due[0].origin} to {due[-1].origin}"
    span = f"{quantity(len(due), 'live forecast')} with sessions that came due, {period}"
    more = f", {LEDGER_SHOWN} of them shown" if len(due) > LEDGER_SHOWN else ""
    title = f"{ticker}: live 80% bands have held {inside} so far{too_few(scores.independent)}"
    figure, (axes,) = canvas(title, f"{span}, {scores.independent} independent{more}")
    shown = sessions >= np.datetime64(due[0].origin) - np.timedelta64(60, "D")
    alphas = {coverage: alpha / 2 for coverage, alpha in FAN.items()}
    # few stay distinct
    for i in np.unique(np.linspace(0, len(due) - 1, min(LEDGER_SHOWN, len(due))).astype(int)):
        forecast = due[i]
        scale = scale_of(forecast, sessions, prices)
        days = fan(
            axes, forecast, MODEL, alphas, start=forecast.last_value, linewidth=1.4, scale=scale
        )
        axes.plot(days[0], scale * forecast.last_value, "o", color=MODEL, markersize=4)
    newest = prices[price := due[-1].price]
    draw_price(axes, sessions[shown], newest[shown], TRUTH, 1.8)
    over_time(axes, price_label(ticker, price), [("what happened", float(newest[-1]), TRUTH)])
    return figure
