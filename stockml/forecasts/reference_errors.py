"""What errors are usual for a share: seen in the years before, or a typical share's."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from stockml.features.windows import known_outcomes
from stockml.forecasts.error_scaling import FLOOR, absolute_volatility, in_units, leads_of
from stockml.storage.arrays import Floats

FEWEST_ORIGINS = 5


LEVELS = np.linspace(0.0, 1.0, 201)


FULL_HISTORY_SESSIONS = 2_500  # with fewer earlier sessions, a typical share's errors stand in for the rest


TYPICAL_SCALE, TYPICAL_FREEDOM = 1.37, 12.0  # Student's t that fits five shares' last-value errors, 1962 to 2017


HISTORY_EVERY = 5


HISTORY_START = 250  # before that the trailing volatility is not settled


DRIFT_PRIOR_SESSIONS = 1_000  # the drift is shrunk to zero as if this many sessions without one had been seen


def drift_of(mid: Floats) -> float:
    """Mean log change a session, in volatilities; shrunk towards zero where the history is short."""
    sessions = len(mid) - 1
    plain = math.log(mid[-1] / mid[0]) / float(absolute_volatility(mid)[:-1].sum())
    return plain * sessions / (sessions + DRIFT_PRIOR_SESSIONS)


@dataclass(frozen=True)
class ReferenceErrors:
    """The drifting last value's absolute errors, in units: quantiles at LEVELS, and profile over the leads."""

    quantiles: Floats
    profile: Floats

    @classmethod
    def of(cls, mid: Floats, until: int, drift: float, horizon: int) -> "ReferenceErrors":
        """From the origins before `until`, as far as there are enough; the rest from a typical share."""
        earlier = np.arange(HISTORY_START, until, HISTORY_EVERY)
        typical = TYPICAL_SCALE * stdtrit(TYPICAL_FREEDOM, (1 + np.minimum(LEVELS, 0.9995)) / 2)
        if len(earlier) < FEWEST_ORIGINS:
            return cls(np.maximum(typical, FLOOR), np.ones(horizon))
        share = min(1.0, len(earlier) * HISTORY_EVERY / FULL_HISTORY_SESSIONS)
        outcomes = known_outcomes(mid, earlier, horizon) / mid[earlier, None]
        errors = np.abs(in_units(mid, earlier, outcomes) - drift * np.sqrt(leads_of(horizon)))
        mixed = np.maximum(np.quantile(errors, LEVELS), FLOOR) ** share * np.maximum(typical, FLOOR) ** (1 - share)
        return cls(mixed, profile_of(errors) ** share)


def profile_of(errors: Floats) -> Floats:
    """How mean errors depart from the √lead law.  errors: (m, horizon).  Returns (horizon,), mean 1."""
    by_lead = np.maximum(errors.mean(axis=0), FLOOR)
    return np.asarray(by_lead / by_lead.mean(), dtype=np.float64)


def smooth(ratio: Floats) -> Floats:
    """A parabola over the logarithm of the lead: one calibration part is too short for each lead's own."""
    places = np.log(leads_of(len(ratio)))
    return np.asarray(np.exp(np.polyval(np.polyfit(places, np.log(ratio), min(2, len(ratio) - 1)), places)))


def widening(profile: Floats) -> Floats:
    """The profile, raised where the width would shrink with the lead.  (horizon,)."""
    root = np.sqrt(leads_of(len(profile)))
    return np.asarray(np.maximum.accumulate(profile * root) / root, dtype=np.float64)
