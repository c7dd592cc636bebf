"""Commands about nights: run one, roll back a champion, show the status."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from shutil import get_terminal_size
from textwrap import fill
from typing import Annotated, TypeVar

from typer import Option, Typer

from deployments.cli.command_home import json_text
from deployments.cli.options import (
    Calendar,
    Details,
    Json,
    Mode,
    OwnProfile,
    Session,
    Settings,
    Ticker,
    Tickers,
    as_settings,
)
from deployments.cli.runs import night_parameters, recorded_prices, result_without_run, run_flow
from deployments.servers.prefect_api import client_if_up
from stockml import clock
from stockml.errors import StockmlError, TrackingUnavailable
from stockml.home import HomePaths, current_home
from stockml.redaction import one_line

app = Typer()
T = TypeVar("T")


@app.command()
def nightly(
    ticker: Ticker,
    session: Session = None,
    mode: Mode = "auto",
    profile: OwnProfile = None,
    settings: Settings = None,
    calendar: Calendar = None,
    force: Annotated[bool, Option("--force", help="Recompute every step.")] = False,
    details: Details = False,
    as_json: Json = False,
) -> None:
    """Run one night: fetch, train, evaluate, log and publish."""
    from flows.form import chosen
    from stockml.nights import summary
    from stockml.nights.key_figures import night_age

    params = night_parameters(ticker, profile, calendar, as_settings(settings))
    config = chosen(params["profile"], mode, params["settings"], ticker=ticker)
    night = result_without_run(ticker, session, config, params["calendar"], force=force)
    if night and night.status == "skipped":
        print(json_text(summary.as_json(night)) if as_json else f"{ticker}: {night.reason}")
        return
    if night is None:
        # a person waiting at a terminal is told that the bar is late, and runs the command again
        # later
        arguments = params | {"session": session, "mode": mode, "force": force, "late_retries": 0}
        with recorded_prices(ticker):
            night = run_flow("nightly.nightly", ticker, quiet=as_json, **arguments)
    age = night_age(current_home().nights, night, clock.now())
    print(
        json_text(summary.as_json(night)) if as_json else summary.text(night, age, details=details)
    )


@app.command()
def rollback(ticker: Ticker, as_json: Json = False) -> None:
    """Restore the previous champion, in MLflow too."""
    from stockml.models.registry import Registry

    alias_results: list[tuple[str | None, str]] = []
    champion = Registry(current_home().models).rollback(
        ticker,
        at=datetime.now(UTC),
        reason="rolled back by hand",
        beforehand=lambda back: alias_results.append(_follow_alias(ticker, back.key)),
    )
    [(version, alias_text)] = alias_results
    plain = {
        "ticker": ticker,
        "session": champion.session.isoformat(),
        "key": champion.key,
        "path": champion.path,
    }
    text = (
        f"{ticker}: the champion of {champion.session} is back ({champion.key[:16]}); {alias_text}"
    )
    print(json_text(plain | {"mlflow_version": version, "mlflow": alias_text}) if as_json else text)


@app.command()
def status(tickers: Tickers = None, details: Details = False, as_json: Json = False) -> int:
    """Show each share's close, range and state, and its next run. Without a TICKER: all known ones.

    Exit code 1 if your list or the next runs cannot be read; the rest is shown.
    """
    from deployments.registration.ticker_list import tickers_of
    from stockml.nights.status import known_tickers, rows, share_sentence, text

    home = current_home()
    faults: list[str] = []
    entries = _or_none(
        "your list",
        faults,
        lambda: {each.ticker: each.calendar for each in tickers_of(home).tickers},
    )
    due, notice = _or_none("next runs", faults, lambda: _next_runs(home)) or (None, None)
    followed = {*(entries or {}), *(due or {})}
    status_rows = rows(
        home, tickers or followed | known_tickers(home), clock.now(), due, entries, followed
    )
    if as_json:
        print(
            json_text(
                {
                    "said": share_sentence(status_rows),
                    "tickers": [row.plain() for row in status_rows],
                }
            )
        )
    else:
        print(text(status_rows, get_terminal_size().columns, details=details))
        if details:
            from stockml.nights.universe import live_verdict

            print(
                fill(
                    live_verdict(home, [row.ticker for row in status_rows]),
                    get_terminal_size().columns,
                )
            )
        if due is None and not faults:
            print(f"No server is up in {home.root}, so no run is due: `stockml up` starts one")
    for line in (*faults, *filter(None, [notice])):
        print("stockml:", one_line(line), file=sys.stderr)
    return int(bool(faults))


def _follow_alias(ticker: str, key: str) -> tuple[str | None, str]:
    """Point MLflow's alias at the champion; return its version and a sentence. The local history
    holds either way."""
    from stockml.tracking.client import Tracking

    try:
        version = Tracking(current_home()).follow_champion(ticker, key, over_hand=True)
    except TrackingUnavailable as away:
        why = f"MLflow at {away.address} cannot be reached ({away.why})"
        return None, f"{why}: its alias `champion` follows with the next night"
    if version is None:
        return None, "MLflow has no version of that night: its alias `champion` stays as it is"
    return version, f"MLflow's alias `champion` names version {version}"


def _next_runs(home: HomePaths) -> tuple[dict[str, datetime | None] | None, str | None]:
    """The next run of each ticker, None of a paused one; and a notice that was refused, if any.

    None if no server is configured or up.
    """
    with client_if_up(home) as client:
        if client is None:
            return None, None
        from deployments.registration.automations import TAKE_NOTICES, refused_notice
        from tasks.status_page import next_nights, next_runs

        refused = refused_notice(client, datetime.now(UTC))
        return next_runs(next_nights(client)), refused and f"{refused}; {TAKE_NOTICES}"


def _or_none(what: str, faults: list[str], look: Callable[[], T]) -> T | None:
    """What `look` returns; None if it cannot be had, which is added to `faults` in one line."""
    try:
        return look()
    except Exception as error:
        # here: a status without faults need not load it
        from deployments.servers.access import fault_of_server

        fault = str(error) if isinstance(error, StockmlError) else fault_of_server(error)
        if not fault:
            raise
        faults.append(f"without {what}: {fault}")
        return None
