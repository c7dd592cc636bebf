"""How far the price was expected to go, and how far it went."""

from typing import TYPE_CHECKING

import numpy as np

from stockml.forecasts.outlook import SESSIONS_A_YEAR, Outlook
from stockml.plots.style import MODEL, MUTED, canvas, dates, label_ends
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPAN = 20  # sessions


def expected_and_realised(
    ticker: str, series: PriceSeries, origins: Indices, expected: Floats, tonight: Outlook | None
) -> "Figure":
    """The volatility that was expected after each origin, over what the closes then did, and tonight's.

    origins, expected: (m,), a share a year.  tonight: None where nothing is said of 20 sessions.
    """
    said = "how far the price was expected to go, and how far it went"
    if tonight is not None:
        said = f"{tonight.volatility:.0%} volatility a year expected"
        if tonight.percentile is not None:
            said += f", {tonight.place}"
    subtitle = f"Annualised, next {SPAN} sessions, {len(origins)} origins it had not seen; tinted: 80% of the forecasts"
    figure, (axes,) = canvas(f"{ticker}: {said}", subtitle)
    days = series.sessions[origins]
    realised = realised_after(series, origins)
    axes.fill_between(days, 0, 100 * realised, color=MUTED, alpha=0.25, linewidth=0)
    axes.plot(days, 100 * expected, color=MODEL, linewidth=1.8)
    ends = [("expected", 100 * float(expected[-1]), MODEL), ("what came", 100 * float(realised[-1]), MUTED)]
    if tonight is not None and tonight.usual is not None:
        axes.axhspan(*(100 * each for each in tonight.usual), color=MODEL, alpha=0.07, linewidth=0)
    if tonight is not None:
        axes.plot(series.sessions[-1:], [100 * tonight.volatility], "o", color=MODEL, markersize=7)
        ends[0] = (f"tonight {tonight.volatility:.1%}", 100 * tonight.volatility, MODEL)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("volatility, % a year")
    dates(axes)
    label_ends(axes, ends)
    return figure


def realised_after(series: PriceSeries, origins: Indices) -> Floats:
    """(m,) root mean square of the closes' daily log moves over the 20 sessions after each origin, annualised."""
    squares = np.diff(np.log(series.close)) ** 2
    means = np.convolve(squares, np.ones(SPAN) / SPAN, mode="valid")
    return np.asarray(np.sqrt(means[np.minimum(origins, len(means) - 1)] * SESSIONS_A_YEAR), dtype=np.float64)
