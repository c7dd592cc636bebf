"""Events for automations that a person builds in Prefect's page, all on the resource `stockml.ticker.IBM`.

| event | when | payload |
| --- | --- | --- |
| `stockml.forecast.published` | a nightly run put a new forecast into the ledger | session, key, mode, close, next_session, low_80, high_80, probability_of_rise |
| `stockml.model.promoted` | its model became the champion | session, key, mode, version, reason |
| `stockml.run.skipped` | a nightly run ended without a forecast | session, state, reason |
| `stockml.width.unusual` | the width for the next session left the share's usual | session, side (wide, narrow), width, usual_low, usual_high |
| `stockml.band.missed` | the close lies outside the 80 % band that the forecast before had | session, close, low_80, high_80, forecast_of |

A width is log(high / low) of the next session's 80 % band. It is unusual outside the 10 and 90 % quantiles of the share's
newest 20 to 250 published ones, and told once until it has been usual again. A night that is repeated and publishes
nothing new tells nothing; a second forecast of a session, with other settings or code, is published and no more.
Prices are in today's shares, a missed band's in those of its forecast. Past nights (`backfill`) tell nothing.
"""  # noqa: E501 - a table's rows

from typing import Any

import pandas as pd
from prefect.events import emit_event

from stockml.forecasts.ledger import Ledger
from stockml.forecasts.surprises import missed_band, unusual_width
from stockml.home import current_home
from stockml.nights.record import Night
from stockml.prices.store import BarStore


def published_before(ticker: str) -> pd.DataFrame:
    """The ledger's steps before a night publishes, for `tell_of_night`."""
    return Ledger(current_home().ledger).steps(ticker)


def tell_of_skipped(night: Night, state: str) -> None:
    _emit(night, "run.skipped", state=state, reason=night.reason)


def tell_of_night(night: Night, before: pd.DataFrame) -> None:
    """Emit what is new in a completed night. before: the ledger's steps before it."""
    if night.forecast is None or night.key in {*before["key"]}:
        return
    forecast, band = night.forecast, night.forecast.band(80)
    _emit(
        night,
        "forecast.published",
        key=night.key,
        mode=night.mode,
        close=forecast.now,
        next_session=str(forecast.sessions[0]),
        low_80=band.low[0],
        high_80=band.high[0],
        probability_of_rise=forecast.probability_of_rise,
    )
    if night.verdict and night.verdict.promoted:
        made = {"key": night.key, "mode": night.mode, "version": night.model_version}
        _emit(night, "model.promoted", **made, reason=night.verdict.reason)
    if before.empty or before["session"].max() < pd.Timestamp(night.session):
        _tell_of_surprises(night, before)


def _tell_of_surprises(night: Night, before: pd.DataFrame) -> None:
    if night.forecast and (unusual := unusual_width(before, night.forecast)):
        usual = {"usual_low": unusual.low, "usual_high": unusual.high}
        _emit(night, "width.unusual", side=unusual.side, width=unusual.width, **usual)
    closes = BarStore.of(current_home(), night.calendar).adjusted(night.ticker)["close"]
    if missed := missed_band(before, closes, night.session):
        band = {"low_80": missed.low, "high_80": missed.high}
        _emit(night, "band.missed", close=missed.close, **band, forecast_of=str(missed.origin))


def _emit(night: Night, event: str, **payload: Any) -> None:
    resource = {
        "prefect.resource.id": f"stockml.ticker.{night.ticker}",
        "prefect.resource.name": night.ticker,
    }
    emit_event(f"stockml.{event}", resource, payload={"session": str(night.session), **payload})
