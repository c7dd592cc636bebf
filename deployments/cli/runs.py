"""Runs of the flows in this process, with their progress on standard error. To be called within `prefect_api()`."""

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import typer

from deployments.cli.progress import progress
from deployments.servers.prefect_api import OWN_SERVER
from stockml.errors import InvalidFile
from stockml.home import home

if TYPE_CHECKING:
    from prefect import Flow

    from stockml.nights.record import Night
    from stockml.settings import Settings

NOISE = "library-noise.log"


def foreseen(
    ticker: str, session: date | None, settings: "Settings", calendar: str | None, *, force: bool
) -> "Night | None":
    """The night, where nothing is to be done: no session, or all stands as it was left. Nothing is started for it.

    Where machines share state, what is here is not all that there is, and the run looks itself. Raises InvalidSession.
    """
    from stockml import clock
    from stockml.forecasts.ledger import Ledger
    from stockml.nights.record import Night
    from stockml.pipeline.repeated import repeated
    from stockml.pipeline.session_status import night_outcome
    from stockml.prices.calendar import sessions_for

    place, exchange = home(), sessions_for(ticker, calendar)
    done = Ledger(place.ledger).last_session(ticker) if place.state is None else None
    outcome = night_outcome(exchange, requested=session, now=clock.now(), last_stored=done)
    if outcome.state:
        return Night.skipped(ticker, outcome.session, str(outcome), datetime.now(UTC), settings.sha256())
    if force or place.state is not None:
        return None
    if night := repeated(place, ticker, outcome.session, settings, calendar):
        print("stockml: nothing has changed since that night ran; --force computes it again", file=sys.stderr)
    return night


def run_night(ticker: str, *, quiet: bool = False, **arguments: Any) -> "Night":
    """One run of the nightly flow. Raises what the night raised."""
    from flows.nightly import nightly

    announced(ticker)
    # a person who waits at a terminal is told that the bar is late, and asks again when it suits them
    night: Night = outcome(nightly, ticker, quiet=quiet, **arguments, late_retries=0, deployment=ticker)
    return night


def check_bars(tickers: Sequence[str], calendar: str | None) -> None:
    """Refuse a ticker of which nothing is stored before a run is begun: a typo is no failed run. Raises NoBars.

    Where machines share state, what is here is not all that there is, and the run looks itself.
    """
    from stockml.prices.store import bar_store

    place = home()
    for ticker in tickers if place.state is None else ():
        bar_store(place, ticker, calendar).view(ticker)


def announced(*names: str) -> None:
    """Let these have a page for the runs to come, tickers of the list and other deployments; a server that is up has.

    So a later `up` shows the nights that were run before it.
    """
    if not os.environ.get(OWN_SERVER):
        return
    from deployments.registration.deployments import announce, of_other_flows, of_tickers
    from deployments.registration.own_list import tickers_of

    with suppress(InvalidFile):  # a night needs no list
        listed = tickers_of(home()).tickers
        announce([each for each in (*of_tickers(listed), *of_other_flows(listed)) if each.name in names])


def outcome(
    flow: "Flow[..., Any]", *arguments: Any, quiet: bool = False, deployment: str | None = None, **named: Any
) -> Any:
    """What the run left behind, also when it ended as failed; what it raised is raised. None stands for a default.

    deployment: on whose page the run is shown too, where there is one of this name.
    """
    from prefect.exceptions import ParameterTypeError
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from stockml.provider.quota import Plan
    from tasks.rate_limit import configure_rate_limit
    from tasks.shown_runs import run_shown

    if os.environ.get(OWN_SERVER):
        configure_rate_limit(Plan.of(os.environ))
    gc.freeze()  # what has been imported is not looked at again
    given = {name: value for name, value in named.items() if value is not None}
    # a server that ends with this command watches no heartbeat, and waiting for its thread would cost a second
    changed = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None} if os.environ.get(OWN_SERVER) else {}
    with temporary_settings(changed), progress(home().root / NOISE, quiet=quiet):
        state = run_shown(flow, deployment, *arguments, **given)
    found = state.result(raise_on_failure=False)
    if isinstance(found, ParameterTypeError):
        raise typer.BadParameter(str(found).partition("- ")[2].replace("\n - ", "; ")) from found
    if isinstance(found, BaseException):
        raise found
    return found
