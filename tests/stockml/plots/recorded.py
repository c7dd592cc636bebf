"""Every figure of a recorded night: IBM after the close of February 28, 2013."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from stockml.features.origins import OriginSplit, split_origins
from stockml.features.volatility import Volatilities
from stockml.forecasts.forecast import Forecast, Price
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.forecasts.ledger_scores import RealisedScores
from stockml.nights.record import Night
from stockml.plots import comparison, diagnostics, forecast, training
from stockml.prices.bars import COLUMNS
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats
from tests.support.nights import SETTINGS, assessed, history, recorded_night, series_until

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DAY = date(2013, 2, 28)


def series() -> PriceSeries:
    return series_until("IBM", DAY)


def with_hole(whole: PriceSeries, at: int, sessions: int) -> PriceSeries:
    """The series without as many `sessions` from index `at` on."""
    kept = np.r_[:at, at + sessions : len(whole)]
    return PriceSeries(whole.sessions[kept], *(getattr(whole, name)[kept] for name in COLUMNS))


def both(prices: Floats) -> dict[Price, Floats]:
    """The prices for forecasts of either kind."""
    return {"close": prices, "mid": prices}


def split() -> OriginSplit:
    return split_origins(len(series()), SETTINGS.evaluation)


def rising(said: Forecast, by: float) -> Forecast:
    """The forecast with a path that grows by the share `by` per session; what was published that
    night is flat."""
    return replace(
        said, path=tuple(said.now * (1 + by) ** lead for lead in range(1, 51)), weights=(0.4,) * 50
    )


def tonight() -> Forecast:
    return rising(assessed("IBM", DAY).forecast, by=0.001)


def night_before() -> Night:
    """February 27's night, with another forecast."""
    night = recorded_night(day=date(2013, 2, 27))
    return replace(night, forecast=rising(assessed("IBM", date(2013, 2, 27)).forecast, by=-0.0005))


def last_night() -> Night:
    """February 28's night."""
    return replace(recorded_night(), forecast=tonight())


@cache
def past_forecasts() -> tuple[Forecast, ...]:
    """Five from the last 120 sessions, 24 sessions apart, each with a path of its own."""
    nights = [series().sessions[i].item() for i in range(-120, 0, 24)]
    return tuple(
        rising(assessed("IBM", day, 0.6).forecast, by=i / 5_000)
        for i, day in enumerate(nights, start=-2)
    )


def live(published: Sequence[Forecast]) -> RealisedScores:
    """How the forecasts turned out, each published on the evening of its origin."""
    with TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        for said in published:
            evening = datetime.combine(said.origin, time(23), UTC)
            ledger.publish(LedgerEntry("IBM", str(said.origin), evening, said))
        return ledger.live("IBM", series(), sessions_for("IBM"))


def moves() -> Floats:
    """Daily returns in units of the volatility known at the time."""
    return np.diff(np.log(series().close), prepend=np.nan) / Volatilities.of(series()).ewma_60


def by_epoch() -> Floats:
    """(4, origins, 50): four epochs; the first goes the wrong way, the last is right."""
    found = assessed("IBM", DAY)
    start = series().close[found.test_origins[::5], None]
    return np.stack(
        [
            start + share * (found.paths["published"][::5] - start)
            for share in (-1.0, -0.5, 0.0, 1.0)
        ]
    )


def drawn(name: str) -> "Figure":
    found = assessed("IBM", DAY)
    sessions, mid, at = series().sessions, series().close, found.test_origins
    figures: dict[str, Callable[[], Figure]] = {
        "forecast": lambda: forecast.forecast_fan("IBM", tonight(), sessions, mid),
        "forecast as it was": lambda: forecast.forecast_fan("IBM", found.forecast, sessions, mid),
        "volatility": lambda: diagnostics.volatility(
            "IBM", series(), found.unseen, found.volatility, found.forecast.outlook[1], 20
        ),
        "leads": lambda: forecast.skill_by_lead("IBM", found.evaluation),
        "ledger": lambda: diagnostics.ledger(
            "IBM", past_forecasts(), live(past_forecasts()), sessions, both(mid)
        ),
        "calibration": lambda: diagnostics.calibration(
            "IBM", found.band_scores, found.evaluation.origins
        ),
        "residuals": lambda: diagnostics.residuals(
            "IBM", sessions, mid, series().close, at, found.paths["published"]
        ),
        "averages": lambda: training.averages("IBM", sessions, mid, "close", found.evaluation),
        "history": lambda: training.price_history("IBM", series(), split()),
        "normalised": lambda: training.normalised("IBM", series()),
        "training": lambda: training.training_curves("IBM", history()),
        "evolution": lambda: training.evolution("IBM", sessions, series().mid, at[::5], by_epoch()),
        "changes": lambda: comparison.nights(night_before(), last_night(), sessions, both(mid)),
    }
    return figures[name]()
