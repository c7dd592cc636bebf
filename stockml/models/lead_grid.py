"""The grid that distributions are forecast on: leads and levels, and smooth functions of the lead.

A forecast is of log(close at a lead / close of the origin).
"""

import numpy as np

from stockml.errors import InvalidSetting
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

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
