"""The simple forecasts against which every model is measured: baselines, which fit nothing; and two
distributions, a regression of the width (HAR) and a ridge regression beyond it. None looks ahead.

A distribution is of log(close at a lead / close of the origin), on a grid of leads and levels.

The regression: one of the width, and one shape, pooled over many tickers, as one ticker's history
is too short to learn a width from. It is centred on the last close: how far, not which way.

The ridge regression is of what the regression misses, on what a network reads, averaged over a day,
a week, a month, a quarter and a year. So what a network adds to it comes from being a network, not
from its inputs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any, Self

import numpy as np
import pandas as pd

from stockml.errors import InvalidSetting, TooFewBars
from stockml.features.origins import cached_causal, starts
from stockml.features.volatility import AVERAGED, Volatilities, input_averages, standardised
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices, check_array

AVERAGE_WINDOW = 100
EMA_DECAY = 0.5
DRIFT_SESSIONS = 2_500
MOMENTUM_SESSIONS = 20
MOMENTUM_DAMPING = 0.9

# log return per session at the usual volatility, 8 % a year; found walk-forward
USUAL_RISE = 0.0003
USUAL_VOLATILITY = 0.018  # daily, from close to close
# of volatility / usual; 0: the same rise for every share, 1: the same return for each unit of risk
RISE_POWER = 0.75
# daily; a share that halved in a day. No rise was measured beyond it before 1999
MAX_VOLATILITY = 0.125
PUBLISHED_SHARE = 0.5  # of the usual rise: a quarter to a half of it lost in no era


def trailing_mean(prices: Floats, window: int = AVERAGE_WINDOW) -> Floats:
    """Mean of the last `window` values, or of as many as there are.  prices: (n,).  Returns
    (n,)."""
    return np.asarray(pd.Series(prices).rolling(window, min_periods=1).mean(), dtype=np.float64)


def exponential_mean(
    prices: Floats, decay: float = EMA_DECAY, start: float | None = None
) -> Floats:
    """(n,) decay · (the mean so far) + (1 − decay) · (the newest value), from the first or `start`.
    prices: (n,)."""
    first = prices[:1] if start is None else np.array([start])
    means = pd.Series(np.concatenate([first, prices])).ewm(alpha=1 - decay, adjust=False).mean()
    return np.asarray(means, dtype=np.float64)[1:]


def mean_step(prices: Floats, sessions: int) -> Floats:
    """Mean change per session over the last `sessions` changes, or as many as there are.  prices:
    (n,)."""
    newest = np.arange(len(prices))
    oldest = np.maximum(newest - sessions, 0)
    return (prices - prices[oldest]) / np.maximum(newest - oldest, 1)


def baseline_paths(prices: Floats, origins: Indices, horizon: int) -> dict[str, Floats]:
    """{name: (m, horizon)} price at leads 1 … horizon by every baseline, from the same origins.

    prices: (n,), price.  origins: (m,), session indices.  Each forecast depends on prices up to its
    origin alone.
    """
    last, still, straight = prices[origins, None], np.zeros(horizon), np.arange(1.0, horizon + 1)
    # a trend that continues, ever weaker (Gardner and McKenzie 1985)
    damped = np.cumsum(MOMENTUM_DAMPING**straight)
    return {
        "standard average": trailing_mean(prices)[origins, None] + still,
        "EMA": exponential_mean(prices)[origins, None] + still,
        "drift": mean_step(prices, DRIFT_SESSIONS)[origins, None] * straight + last,
        "momentum": mean_step(prices, MOMENTUM_SESSIONS)[origins, None] * damped + last,
    }


@cached_causal
def expected_drift(series: PriceSeries) -> Floats:
    """(n,) usual log return per session of a share with this volatility: the same for all beyond
    MAX_VOLATILITY.

    On 105 tickers it was the highest from 1983 to 1998, and lower bounds (0.02 to 0.1) lost there.
    In later eras it gained 0.1 to 0.2 % of CRPS on the 56 origins beyond it, after which prices
    fell by a fifth in 50 sessions.
    """
    bounded = np.minimum(Volatilities.of(series).ewma_60, MAX_VOLATILITY)
    return USUAL_RISE * (bounded / USUAL_VOLATILITY) ** RISE_POWER


def published_median(series: PriceSeries, origins: Indices, leads: Indices) -> Floats:
    """(m, leads) log moves from each origin's close that are published as the median: half of the
    usual rise a session.

    On 99 tickers, in eras from 2003 and from 2009, half of the rise gained on nine of ten.
    """
    return PUBLISHED_SHARE * expected_drift(series)[origins, None] * leads


LEVELS = np.array([0.025, *(np.arange(1, 20) / 20), 0.975])  # (21,), symmetric about one half
MEDIAN = len(LEVELS) // 2  # its index
LEADS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50)  # leads between them are interpolated in ln(lead)
# smooth functions of ln(lead), with which a ridge regression or a network changes a ln width
BASIS_SIZE = 4
MAX_LOG_CHANGE = 2.0  # by at most a factor of e²


def symmetrised(quantiles: Floats) -> Floats:
    """q(p) → (q(p) − q(1−p)) / 2: the width alone, without location (the era's rise) or skew.  (…,
    21)."""
    return np.asarray((quantiles - quantiles[..., ::-1]) / 2, dtype=np.float64)


def moves(series: PriceSeries, origins: Indices, leads: Indices) -> Floats:
    """(m, leads) actual moves: log(close of the session `lead` later / close of the origin)."""
    close = np.log(series.close)
    return np.asarray(close[origins[:, None] + leads] - close[origins, None], dtype=np.float64)


def hat_basis(leads: Indices) -> Floats:
    """(leads, 11) hat functions, to interpolate values at LEADS in ln(lead).  Raises InvalidSetting
    beyond them."""
    if len(leads) and not (LEADS[0] <= np.min(leads) and np.max(leads) <= LEADS[-1]):
        raise InvalidSetting("leads", np.asarray(leads).tolist(), f"from {LEADS[0]} to {LEADS[-1]}")
    knots = np.log(LEADS)
    return np.stack([np.interp(np.log(leads), knots, unit) for unit in np.eye(len(LEADS))], axis=-1)


def lead_basis(leads: Indices) -> Floats:
    """(leads, 4) Legendre polynomials of ln(lead), from −1 at lead 1 to 1 at lead 50."""
    position = 2 * np.log(leads) / np.log(LEADS[-1]) - 1
    return np.polynomial.legendre.legvander(position, BASIS_SIZE - 1)


def width_factors(coefficients: Floats, leads: Indices) -> Floats:
    """(m, leads) factors of the width, at most e² or its inverse.  coefficients: (m, 4), of
    `lead_basis`."""
    return np.exp(np.clip(coefficients @ lead_basis(leads).T, -MAX_LOG_CHANGE, MAX_LOG_CHANGE))


TERMS = ("range 1", "range 5", "range 22", "range 250", "range 1000", "EWMA 20")

CONSTANT, EWMA_20, EWMA_60, REGRESSION = "constant", "EWMA 20", "EWMA 60", "regression"
WIDTHS = (CONSTANT, EWMA_20, EWMA_60, REGRESSION)  # each has a pooled shape of its own

ORIGIN_STRIDE = 5
FIRST_LEARNED = 60  # before it, the EWMA 60, the unit of everything here, has not settled
MIN_LEARNED = 100
MIN_RETURNS = 20  # a month: a width from fewer is too uncertain
MIN_MOVE = 0.05  # in units of the width: keeps an unchanged price from dominating the fit
MAX_TERM = 2.0  # a day without a range, or a misprint, counts no more than a factor of e²
DECIMALS = 8  # stored: the last bits of a fit differ between processors


@dataclass(frozen=True, eq=False)
class Vintage:
    """Metadata of everything learned across tickers: the last session seen, and what it is made
    of."""

    through: date
    tickers: tuple[str, ...]
    sessions: int
    origins: int


@dataclass(frozen=True, eq=False)
class HarRegression(Vintage):
    """Regression at each lead of ln(|move| / (EWMA 60 · √lead) + 0.05) on ln(TERMS / EWMA 60) (HAR,
    Corsi 2009).

    means: (6,), of the terms, used where a history is too short for one.  intercepts: (11,) and
    coefficients: (11, 6), at LEADS.  shapes: for each of WIDTHS, (11, 21) quantiles at LEVELS of
    the move over width · √lead.
    """

    means: Floats
    intercepts: Floats
    coefficients: Floats
    shapes: Mapping[str, Floats]

    def __post_init__(self) -> None:
        knots, terms = len(LEADS), len(TERMS)
        expected = {"means": (terms,), "intercepts": (knots,), "coefficients": (knots, terms)}
        for name, shape in expected.items():
            check_array(name, getattr(self, name), shape)
        for name in WIDTHS:
            check_array(f"the shape of {name}", self.shapes[name], (knots, len(LEVELS)))
            if (np.diff(self.shapes[name]) < 0).any():
                raise ValueError(f"expected the quantiles of {name} to rise, found some that fall")

    @classmethod
    def fit(cls, series: Mapping[str, PriceSeries], until: date) -> Self:
        """Learn from every 5th session of each ticker whose 50 following sessions are known by
        `until`.

        series: by ticker; nothing after `until` is looked at.  Equal bars give equal values,
        whatever the order of the tickers.  Raises TooFewBars.
        """
        known, learned_from = learning_bars(series, until, "a regression of the width")
        parts = zip(*map(_training_rows, known.values()), strict=True)
        return cls(**vars(learned_from), **_fitted(*map(np.concatenate, parts)))

    def widths(self, series: PriceSeries, origins: Indices, leads: Indices) -> Floats:
        """(m, leads) widths, e^regression · EWMA 60 · √lead: times a shape, the quantiles of
        log(close / close).

        Row i sees sessions up to origins[i] only.  origins: (m,), session indices.  leads:
        (leads,), 1 to 50. Raises TooFewBars where an origin has less than a month before it,
        InvalidSetting for other leads.
        """
        volatilities = Volatilities.of(series)
        check_history(volatilities, origins)
        terms = _terms(volatilities, origins)
        weights = hat_basis(leads)
        log_ratio = np.where(np.isnan(terms), self.means, terms) @ (weights @ self.coefficients).T
        log_ratio += weights @ self.intercepts
        return np.exp(log_ratio) * volatilities.ewma_60[origins, None] * np.sqrt(leads)

    def shape(self, width: str, leads: Indices) -> Floats:
        """(leads, 21) quantiles of move / width at LEVELS, pooled over the tickers; `width` is one
        of WIDTHS."""
        return hat_basis(leads) @ self.shapes[width]

    def quantiles(self, series: PriceSeries, origins: Indices, leads: Indices) -> Floats:
        """(m, leads, 21) quantiles at LEVELS of log(close / close of the origin), rising.
        Otherwise as `widths`."""
        return self.widths(series, origins, leads)[..., None] * self.shape(REGRESSION, leads)


def check_history(volatilities: Volatilities, origins: Indices) -> None:
    """Raise TooFewBars where one of the origins, (m,), has less than a month of moves before it."""
    fewest = int(volatilities.return_count[origins].min(initial=MIN_RETURNS))
    if fewest < MIN_RETURNS:
        raise TooFewBars(MIN_RETURNS + 1, fewest + 1, "a width")


def learning_origins(series: PriceSeries) -> Indices:
    """(m,) origins to learn from: in each segment, every 5th session whose outcomes it holds."""
    edges = pairwise([*starts(series).tolist(), len(series)])
    return np.concatenate(
        [np.arange(start + FIRST_LEARNED, end - LEADS[-1], ORIGIN_STRIDE) for start, end in edges]
    )


def learning_bars(
    series: Mapping[str, PriceSeries], until: date, what: str
) -> tuple[dict[str, PriceSeries], Vintage]:
    """Bars through `until` of tickers that can be learned from, and their metadata.  Raises
    TooFewBars."""
    known = {ticker: series[ticker].through(until) for ticker in sorted(series)}
    counts = {ticker: len(learning_origins(bars)) for ticker, bars in known.items()}
    usable = {ticker: bars for ticker, bars in known.items() if counts[ticker]}
    if sum(counts.values()) < MIN_LEARNED:
        longest = max(map(len, known.values()), default=0)
        raise TooFewBars(FIRST_LEARNED + LEADS[-1] + ORIGIN_STRIDE * MIN_LEARNED, longest, what)
    through = max(bars.sessions[-1] for bars in usable.values()).item()
    return usable, Vintage(
        through, tuple(usable), sum(map(len, usable.values())), sum(counts.values())
    )


def _training_rows(series: PriceSeries) -> tuple[Floats, Floats, Floats]:
    """Rows of m origins: terms (m, 6), NaN where unknown; units (m, 3), daily; moves (m, 11) over
    √lead."""
    volatilities, leads, origins = (
        Volatilities.of(series),
        np.array(LEADS),
        learning_origins(series),
    )
    units = np.stack([volatilities.constant, volatilities.ewma_20, volatilities.ewma_60], axis=1)[
        origins
    ]
    return _terms(volatilities, origins), units, moves(series, origins, leads) / np.sqrt(leads)


def _fitted(terms: Floats, units: Floats, moved: Floats) -> dict[str, Any]:
    counts = np.isfinite(terms).sum(axis=0)
    means = np.nansum(terms, axis=0) / np.maximum(counts, 1)
    terms = np.where(np.isnan(terms), means, terms)
    constant, ewma_20, ewma_60 = units.T[:, :, None]
    sizes = np.log(np.abs(moved) / ewma_60 + MIN_MOVE)
    mean_term, mean_size = terms.mean(axis=0), sizes.mean(axis=0)
    # without importing scikit-learn
    slopes = np.linalg.lstsq(terms - mean_term, sizes - mean_size)[0]
    intercepts = mean_size - mean_term @ slopes
    widths = (constant, ewma_20, ewma_60, np.exp(intercepts + terms @ slopes) * ewma_60)
    shapes = {
        name: np.quantile(moved / width, LEVELS, axis=0).T
        for name, width in zip(WIDTHS, widths, strict=True)
    }
    return {
        "means": means.round(DECIMALS),
        "intercepts": intercepts.round(DECIMALS),
        "coefficients": slopes.T.round(DECIMALS),
        "shapes": {name: shape.round(DECIMALS) for name, shape in shapes.items()},
    }


def _terms(volatilities: Volatilities, origins: Indices) -> Floats:
    """(m, 6) ln(TERMS / EWMA 60) after each origin, NaN where the history is too short."""
    terms = np.column_stack([volatilities.range[origins], volatilities.ewma_20[origins]])
    return np.clip(np.log(terms / volatilities.ewma_60[origins, None]), -MAX_TERM, MAX_TERM)


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
