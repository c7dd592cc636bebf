"""Commands that run flows: a night, a ticker's history, and going back to an earlier champion."""

import json
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.options import Calendar, Json, Session, Ticker, as_settings
from deployments.cli.runs import outcome, run_night
from deployments.servers.environment import mlflow_address
from deployments.servers.prefect_api import prefect_api
from stockml.home import home
from stockml.settings import Mode, Profile

if TYPE_CHECKING:
    from stockml.pipeline.session_status import Outcome
    from stockml.storage.receipts import StoreReceipt

app = typer.Typer()


Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="such as evaluation.direction_step=20; may be repeated"),
]


@app.command()
def nightly(
    ticker: Ticker,
    session: Session = None,
    mode: Annotated[Mode, typer.Option(help="auto decides from facts and says why")] = "auto",
    profile: Annotated[Profile, typer.Option(help="the model's settings")] = "nightly",
    settings: Settings = None,
    calendar: Calendar = None,
    force: Annotated[bool, typer.Option("--force", help="compute every step again")] = False,
    as_json: Json = False,
) -> int:
    """Fetch, train, measure, log and publish one session."""
    from stockml import clock
    from stockml.nights import summary
    from stockml.nights.glance import night_age
    from stockml.nights.record import Night

    changed = as_settings(settings or [])
    if session and (none := no_session(ticker, session, calendar)):
        night = Night.skipped(ticker, none.session, str(none), datetime.now(UTC))
        print(json.dumps(summary.as_json(night)) if as_json else f"{ticker}: {none}")
        return 0
    arguments = {"mode": mode, "profile": profile, "settings": changed, "calendar": calendar}
    with prices(ticker), prefect_api(home()):
        night = run_night(ticker, session=session, force=force, quiet=as_json, **arguments)
        age = night_age(night, calendar, clock.now())
    print(json.dumps(summary.as_json(night)) if as_json else summary.text(night, age))
    return 1 if night.status == "failed" else 0


@app.command("history")
def give_history(ticker: Ticker, calendar: Calendar = None, as_json: Json = False) -> None:
    """Give a ticker its past: all since 1999, with a premium or a Tiingo key.

    Without one: `stockml import`.
    """
    with prices(ticker), prefect_api(home()):
        from flows.history import history

        bars: StoreReceipt = outcome(history, ticker, calendar=calendar, quiet=as_json)
    found = {"ticker": ticker, "rows_added": bars.added, "rows_restated": bars.restated, "path": bars.path}
    text = f"{ticker}: {bars.counted}"
    print(json.dumps(found) if as_json else text)


@app.command()
def rollback(
    ticker: Ticker,
    reason: Annotated[str, typer.Option(help="kept in the promotion history")] = "rolled back by hand",
    as_json: Json = False,
) -> None:
    """Put back the champion before the present one, in MLflow too."""
    from stockml.models.registry import Registry

    champion = Registry(home().models).rollback(ticker, at=datetime.now(UTC), reason=reason)
    version, followed = _followed(ticker, champion.key)
    found = {"ticker": ticker, "session": champion.session.isoformat(), "key": champion.key, "path": champion.path}
    text = f"{ticker}: the champion of {champion.session} is back ({champion.key[:16]}); {followed}"
    print(json.dumps(found | {"mlflow_version": version, "mlflow": followed}) if as_json else text)


def _followed(ticker: str, key: str) -> tuple[str | None, str]:
    """The version that MLflow's alias names now, and in words; the local history holds, MLflow reached or not."""
    from stockml.errors import TrackingUnavailable
    from stockml.tracking.client import Tracking

    try:
        version = replace(Tracking.of(home()), uri=mlflow_address(home())).follow_champion(ticker, key)
    except TrackingUnavailable as away:
        why = f"MLflow at {away.address} cannot be reached ({away.why})"
        return None, f"{why}: its alias `champion` follows with the next night"
    if version is None:
        return None, "MLflow has no version of that night: its alias `champion` stays as it is"
    return version, f"MLflow's alias `champion` names version {version}"


def no_session(ticker: str, session: date, calendar: str | None) -> "Outcome | None":
    """Where there is nothing to do on that day; known before anything is started. Raises InvalidSession."""
    from stockml import clock
    from stockml.pipeline.session_status import night_outcome
    from stockml.prices.calendar import sessions_for

    exchange = sessions_for(ticker, calendar)
    outcome = night_outcome(exchange, requested=session, now=clock.now(), last_stored=None)
    return outcome if outcome.state else None


def prices(*tickers: str) -> AbstractContextManager[object]:
    """Recorded prices where the home is for them and there is no key; any other asks Alpha Vantage."""
    from deployments.replay.source import source
    from stockml.provider.price_source import kind_here

    return source(tickers, os.environ) if kind_here(home(), os.environ) == "replay" else nullcontext()
