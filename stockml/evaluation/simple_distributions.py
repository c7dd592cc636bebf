"""The distributions that a sceptic would try: around the last close, with a width by simple means.

Each is a width times a shape of 21 quantiles per lead. All are calibrated alike: by the pooled
shape for that width, or by the ticker's own, from the last sessions before those that are scored.
Nothing learned from the ticker's own history is later than the first origin.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np

from stockml.errors import InvalidSetting, TooFewBars
from stockml.features.origins import within_segment
from stockml.features.volatility import Volatilities
from stockml.models import har_regression as har
from stockml.models.har_regression import EWMA_20, EWMA_60, REGRESSION, HarRegression
from stockml.models.lead_grid import LEVELS, moves
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

CONSTANT_WIDTH = "last close, constant width"
OWN_HAR = "HAR range (ticker's own)"
SHAPES = {
    CONSTANT_WIDTH: har.CONSTANT,
    EWMA_20: EWMA_20,
    EWMA_60: EWMA_60,
    OWN_HAR: REGRESSION,  # the same regression, so in the same units
    REGRESSION: REGRESSION,
}
VOLATILITIES = {CONSTANT_WIDTH: "constant", EWMA_20: "ewma_20", EWMA_60: "ewma_60"}

CALIBRATION_SESSIONS = 1_000
MIN_CALIBRATION_ORIGINS = 250
OWN_SESSIONS = 2_000  # a thousand until the longest term is known, a thousand more to fit it
BEFORE_SCORES = "(only those before the scored part count)"

ShapeSource = Literal["pooled", "own"]  # of all tickers, or of the ticker's own past
Width = Callable[[PriceSeries, Indices, Indices], Floats]
"""(series, origins, leads) → (m, leads), the spread of log(close / close of the origin); row i sees
nothing later."""


QuantileRows = tuple[dict[str, Floats], dict[str, str]]
"""By row, (m, leads, 21) quantiles at LEVELS of log(close at lead / close of the origin); why
others are missing."""


def simple_distributions(
    series: PriceSeries,
    origins: Indices,
    leads: Indices,
    regression: HarRegression,
    shape_of: ShapeSource = "pooled",
    names: Iterable[str] = SHAPES,
) -> QuantileRows:
    """Every simple row from the same origins; a row that cannot be computed has a reason instead.

    origins: (m,), ascending session indices.  leads: (leads,), 1 to 50.  shape_of: where each row's
    shape is learned. Raises InvalidSetting for a regression that has seen the first origin's
    session or a later one.
    """
    first = series.sessions[origins[0]].item()
    if regression.through >= first:
        found = str(regression.through)
        raise InvalidSetting("the regression's last session", found, f"before the origin {first}")
    quantiles, reasons = {}, {}
    for name in names:
        try:
            width, shape = _calibrated(name, series, int(origins[0]), leads, regression, shape_of)
            quantiles[name] = width(series, origins, leads)[..., None] * shape
        except TooFewBars as refusal:
            reasons[name] = str(refusal)
    return quantiles, reasons


def calibration_origins(known: PriceSeries, furthest: int) -> Indices:
    """(m,) the last 1,000 origins, or all there are, whose outcomes `known` holds. Raises
    TooFewBars."""
    stop = len(known) - furthest
    origins = within_segment(
        known, np.arange(max(stop - CALIBRATION_SESSIONS, har.FIRST_LEARNED), stop), furthest
    )
    if len(origins) < MIN_CALIBRATION_ORIGINS:
        needed = har.FIRST_LEARNED + MIN_CALIBRATION_ORIGINS + furthest
        raise TooFewBars(needed, len(known), f"a shape of the ticker's own {BEFORE_SCORES}")
    return origins


def _calibrated(
    name: str,
    series: PriceSeries,
    first: int,
    leads: Indices,
    regression: HarRegression,
    shape_of: ShapeSource,
) -> tuple[Width, Floats]:
    """The row's width, and its shape: (leads, 21) quantiles at LEVELS of move / width."""
    known = series.until(first + 1)
    if shape_of == "pooled":
        return _width(name, known, regression), regression.shape(SHAPES[name], leads)
    calibrated = calibration_origins(known, int(np.max(leads)))
    width = _width(name, series.until(int(calibrated[0]) + 1), regression)
    ratios = moves(known, calibrated, leads) / width(known, calibrated, leads)
    return width, np.asarray(np.quantile(ratios, LEVELS, axis=0).T, dtype=np.float64)


def _width(name: str, known: PriceSeries, regression: HarRegression) -> Width:
    """The row's width function; whatever it learns from the ticker itself comes from `known`
    alone."""
    if name == REGRESSION:
        return regression.widths
    if name == OWN_HAR:
        if len(known) < OWN_SESSIONS:
            raise TooFewBars(
                OWN_SESSIONS, len(known), f"a HAR regression of the ticker's own {BEFORE_SCORES}"
            )
        return HarRegression.fit({"own": known}, known.sessions[-1].item()).widths

    def widths(series: PriceSeries, origins: Indices, leads: Indices) -> Floats:
        volatilities = Volatilities.of(series)
        at = np.full_like(origins, len(known) - 1) if name == CONSTANT_WIDTH else origins
        har.check_history(volatilities, at)
        return np.asarray(
            getattr(volatilities, VOLATILITIES[name])[at, None] * np.sqrt(leads), dtype=np.float64
        )

    return widths
