"""A synthetic share of 200 sessions, and forecasts of it to publish and score."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from stockml.forecasts.forecast import Band, Forecast
from stockml.forecasts.ledger import LedgerEntry
from stockml.prices.bars import Bars, make_bars
from stockml.prices.series import PriceSeries

HORIZON, STEP = 10, 6
DAYS = np.busday_offset("2012-06-01", np.arange(200), roll="forward")
MID = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, 200)))


def bars(until: int = 200, scale: float = 1.0) -> Bars:
    """The first `until` sessions, with prices times `scale` (as after a split)."""
    mid = MID[:until] * scale
    prices = {"open": mid, "high": mid * 1.01, "low": mid * 0.99, "close": mid}
    return make_bars(DAYS[:until], {**prices, "volume": np.full(until, 1e6)})


def series(until: int = 200, scale: float = 1.0) -> PriceSeries:
    """The same bars as a PriceSeries."""
    return PriceSeries.from_bars(bars(until, scale))


def day(at: int) -> date:
    found: date = DAYS[at].item()
    return found


def forecast(at: int, slope: float = 0.001, chance: float = 0.6, width: float = 0.02) -> Forecast:
    """A forecast from session `at`: rises by `slope` a session; the 80 % band is `width`·√lead on
    either side."""
    lead = np.arange(1, HORIZON + 1)
    path = MID[at] * (1 + slope * lead)
    sides = {50: width / 2, 80: width, 95: width * 2}
    sessions = tuple(DAYS[at + 1 : at + 1 + HORIZON].tolist())
    bands = bands_around(path, {band: side * lead**0.5 for band, side in sides.items()})
    chances = {"probability_of_rise": chance, "weights": (0.5,) * HORIZON, "direction_step": STEP}
    return Forecast(day(at), float(MID[at]), sessions, tuple(path.tolist()), bands, **chances)


def bands_around(path: np.ndarray, widths: Mapping[int, np.ndarray | float]) -> tuple[Band, ...]:
    """Bands that reach so far to either side, as shares of the path."""
    return tuple(
        Band(band, tuple((path * (1 - side)).tolist()), tuple((path * (1 + side)).tolist()))
        for band, side in widths.items()
    )


def entry(at: int, key: str = "", hours_later: float = 0.0, **shape: float) -> LedgerEntry:
    """The ledger entry of `forecast(at)`, published at 23:30 UTC of its session plus
    `hours_later`."""
    published = datetime.combine(day(at), time(23, 30), UTC) + timedelta(hours=hours_later)
    return LedgerEntry(
        "IBM", key or f"{at:064x}", published, forecast(at, **shape), f"run-{at}", str(at)
    )
