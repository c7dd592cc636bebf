"""Events for automations that a person builds in Prefect's page, on the resource
`stockml.ticker.IBM`; docs/how-to/server.md lists them with their payloads.

Each has its `text`, a line for a person; the digest's, on `stockml.home`, is of several lines. A
width is log(high / low) of the next session's 80 % band. It is unusual outside the 10 and 90 %
quantiles of the share's newest 20 to 250 published ones. What left its range is told once, until it
has returned. A night that is repeated and publishes nothing new tells nothing; a second forecast of
a session, with other settings or code, is published and no more. Prices are in today's shares, a
missed band's in those of its forecast. Past nights (`backfill`) tell nothing.
"""

from collections.abc import Iterable
from typing import Any

import pandas as pd
from prefect.events import emit_event

from stockml.forecasts.forecast import price_text
from stockml.forecasts.ledger import Ledger
from stockml.forecasts.ledger_scores import RECENT, missed_band, unusual_width, wrong_coverage
from stockml.home import current_home
from stockml.nights.card import Card
from stockml.nights.record import Night
from stockml.nights.status import TickerRow
from stockml.prices.store import BarStore


def published_before(ticker: str) -> pd.DataFrame:
    """The ledger's steps before a night publishes, for `tell_of_night`."""
    return Ledger(current_home().ledger).steps(ticker)


def tell_of_skipped(night: Night, state: str) -> None:
    _emit(night, "run.skipped", f"no forecast: {night.reason}", state=state, reason=night.reason)


def tell_of_night(night: Night, before: pd.DataFrame) -> None:
    """Emit what is new in a completed night. before: the ledger's steps before it."""
    if night.forecast is None or night.key in {*before["key"]}:
        return
    forecast, band = night.forecast, night.forecast.band(80)
    _emit(
        night,
        "forecast.published",
        Card.of(night.ticker, forecast, night).headline,
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
        reason = night.verdict.reason
        _emit(night, "model.promoted", f"a new champion: {reason}", **made, reason=reason)
    if before.empty or before["session"].max() < pd.Timestamp(night.session):
        _tell_of_surprises(night, before)


def _tell_of_surprises(night: Night, before: pd.DataFrame) -> None:
    if night.forecast and (unusual := unusual_width(before, night.forecast)):
        usual = {"usual_low": unusual.low, "usual_high": unusual.high}
        text = (
            f"the next session's range is unusually {unusual.side}, {unusual.width:.1%} of the "
            "close"
        )
        _emit(night, "width.unusual", text, side=unusual.side, width=unusual.width, **usual)
    closes = BarStore.of(current_home(), night.calendar).adjusted(night.ticker)["close"]
    if missed := missed_band(before, closes, night.session):
        low, high = price_text(missed.low), price_text(missed.high)
        text = (
            f"closed at {price_text(missed.close)}, outside the 95% range of {missed.origin}, "
            f"{low} to {high}"
        )
        band = {"low_95": missed.low, "high_95": missed.high}
        _emit(
            night, "band.missed", text, close=missed.close, **band, forecast_of=str(missed.origin)
        )
    if coverage := wrong_coverage(before, closes, night.session):
        text = f"{coverage:.0%} of the last {RECENT} closes lay inside their 80% range"
        _emit(night, "coverage.wrong", text, coverage=coverage)


def tell_of_morning(text: str, lacking: Iterable[TickerRow]) -> None:
    """Emit the digest and which forecasts have been missing for two sessions since last morning."""
    emit_event(
        "stockml.digest.ready", {"prefect.resource.id": "stockml.home"}, payload={"text": text}
    )
    for row in lacking:
        _emit(
            row, "forecast.missing", f"no forecast for two sessions: {row.state}", state=row.state
        )


def _emit(of: Night | TickerRow, event: str, text: str, **payload: Any) -> None:
    resource = {
        "prefect.resource.id": f"stockml.ticker.{of.ticker}",
        "prefect.resource.name": of.ticker,
    }
    told = {"text": f"{of.ticker}: {text}", "session": str(of.session), **payload}
    emit_event(f"stockml.{event}", resource, payload=told)
