"""The strongest simple distribution: a ridge regression of what the regression misses, on a
network's inputs.

It reads what a network reads, averaged over a day, a week, a month, a quarter and a year. So what a
network adds to it comes from being a network, not from its inputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Self

import numpy as np

from stockml.features.volatility import AVERAGED, input_averages, standardised
from stockml.models.har_regression import (
    DECIMALS,
    MIN_MOVE,
    HarRegression,
    Vintage,
    learning_bars,
    learning_origins,
)
from stockml.models.lead_grid import (
    BASIS_SIZE,
    LEADS,
    LEVELS,
    hat_basis,
    lead_basis,
    moves,
    symmetrised,
    width_factors,
)
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices, check_array

RIDGE = "ridge regression"
# per origin, of inputs in standard deviations; chosen, as the windows, on cuts from 1989 to 1997
PENALTY = 0.3
MIN_DEVIATION = 1e-3


@dataclass(frozen=True, eq=False)
class RidgeRegression(Vintage):
    """Ridge regression (Hoerl and Kennard 1970) of ln(|move| / regression's width + 0.05) on
    AVERAGED inputs.

    means, deviations: (80,), of the inputs.  coefficients: (80, 4), of `lead_basis`.  shape: (11,
    21), symmetric quantiles, at LEADS and LEVELS, of the move over width · √lead.
    """

    means: Floats
    deviations: Floats
    coefficients: Floats
    shape: Floats

    def __post_init__(self) -> None:
        inputs, knots = len(AVERAGED), len(LEADS)
        check_array("means", self.means, (inputs,))
        check_array("deviations", self.deviations, (inputs,))
        check_array("coefficients", self.coefficients, (inputs, BASIS_SIZE))
        check_array("the shape", self.shape, (knots, len(LEVELS)))
        if (self.deviations <= 0).any() or (np.diff(self.shape) < 0).any():
            raise ValueError("expected deviations above 0 and quantiles that rise, found others")

    @classmethod
    def fit(cls, series: Mapping[str, PriceSeries], until: date, regression: HarRegression) -> Self:
        """Learn from the origins that `HarRegression.fit` learns from, as reproducibly.  Raises
        TooFewBars."""
        from sklearn.linear_model import Ridge

        known, learned_from = learning_bars(series, until, "a ridge regression of the width")
        leads, parts = np.array(LEADS), []
        for bars in known.values():
            at = learning_origins(bars)
            parts.append(
                (
                    input_averages(bars)[at],
                    regression.widths(bars, at, leads),
                    moves(bars, at, leads),
                )
            )
        inputs, widths, moved = (np.concatenate(part) for part in zip(*parts, strict=True))
        inputs[:, np.isnan(inputs).all(axis=0)] = 0
        means = np.nanmean(inputs, axis=0).round(DECIMALS)
        deviations = np.maximum(np.nanstd(inputs, axis=0), MIN_DEVIATION).round(DECIMALS)
        standard = standardised(inputs, means, deviations)
        onto_basis = np.linalg.pinv(lead_basis(leads)).T  # least squares over the leads
        targets = np.log(np.abs(moved) / widths + MIN_MOVE) @ onto_basis
        fitted = Ridge(alpha=PENALTY * len(standard)).fit(standard, targets)
        coefficients = np.asarray(fitted.coef_, dtype=np.float64).T.round(DECIMALS)
        ratios = moved / (widths * width_factors(standard @ coefficients, leads))
        shape = symmetrised(np.quantile(ratios, LEVELS, axis=0).T).round(DECIMALS)
        return cls(
            **vars(learned_from),
            means=means,
            deviations=deviations,
            coefficients=coefficients,
            shape=shape,
        )

    def widths(
        self, series: PriceSeries, origins: Indices, leads: Indices, regression: HarRegression
    ) -> Floats:
        """(m, leads) the regression's widths times `width_factors` of inputs · coefficients.
        regression: usually of its vintage."""
        inputs = standardised(input_averages(series)[origins], self.means, self.deviations)
        return regression.widths(series, origins, leads) * width_factors(
            inputs @ self.coefficients, leads
        )

    def quantiles(
        self, series: PriceSeries, origins: Indices, leads: Indices, regression: HarRegression
    ) -> Floats:
        """(m, leads, 21) quantiles at LEVELS of log(close / close of the origin): rising, symmetric
        about 0."""
        return self.widths(series, origins, leads, regression)[..., None] * (
            hat_basis(leads) @ self.shape
        )
