"""Commands about nights: run one, many, or past ones; roll back a champion, show the status."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from typer import Argument, BadParameter, Option, Typer

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
    as_session,
    as_settings,
    day,
    folder,
    json_text,
)
from deployments.cli.runs import (
    check_bars,
    check_spelling,
    night_parameters,
    recorded_prices,
    result_without_run,
    run_flow,
)
from deployments.servers.prefect_api import client_if_up
from stockml import clock
from stockml.errors import StockmlError, TrackingUnavailable
from stockml.home import HomePaths, current_home
from stockml.redaction import one_line

if TYPE_CHECKING:
    from stockml.nights.universe import NightRow

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
def backfill(
    ticker: Ticker,
    first: Annotated[
        date, Argument(parser=as_session, metavar="FIRST", help="The first day, YYYY-MM-DD.")
    ],
    last: Annotated[date, Argument(parser=as_session, metavar="LAST", help="The last day.")],
    every_night: Annotated[
        bool,
        Option("--every-night", help="Train and publish for every session, not just the last."),
    ] = False,
    mode: Mode = "auto",
    profile: OwnProfile = None,
    settings: Settings = None,
    calendar: Calendar = None,
    as_json: Json = False,
) -> int:
    """Catch up on a ticker's sessions from FIRST to LAST."""
    from stockml.nights.session_status import past_sessions
    from stockml.prices.calendar import sessions_for

    learn = "every night" if every_night else "once at the end"
    arguments = night_parameters(ticker, profile, calendar, as_settings(settings))
    # refuse it before a run fails
    past_sessions(sessions_for(ticker, arguments["calendar"]), first, last, clock.now())
    arguments |= {"mode": mode, "first": first, "last": last, "learn": learn}
    with recorded_prices(ticker):
        rows = run_flow("backfill.backfill", ticker, quiet=as_json, **arguments)
    return _show_rows(rows, as_json=as_json)


@app.command()
def universe(
    tickers: Tickers = None,
    session: Session = None,
    mode: Mode = "auto",
    profile: OwnProfile = None,
    settings: Settings = None,
    processes: Annotated[int, Option(min=1, max=64, help="Worker processes on this machine.")] = 2,
    as_json: Json = False,
) -> int:
    """Run many tickers' nights in parallel. Without a TICKER, those of `stockml tickers list`."""
    from deployments.registration.ticker_list import tickers_of

    check_spelling(*tickers or ())
    own = {entry.ticker: entry.own for entry in tickers_of(current_home()).tickers}
    names = tickers or [*own]
    choices = {
        ticker: own[ticker] | ({"profile": profile} if profile else {})
        for ticker in names
        if ticker in own
    }
    arguments: dict[str, Any] = {
        "mode": mode,
        "profile": profile,
        "settings": as_settings(settings),
        "session": session,
        "processes": processes,
        "choices": {ticker: choice for ticker, choice in choices.items() if choice},
    }
    with recorded_prices(*names):
        rows = run_flow("universe.universe", names, late_retries=0, quiet=as_json, **arguments)
    return _show_rows(rows, as_json=as_json)


@app.command()
def backtest(
    tickers: Tickers = None,
    first: Annotated[date | None, day("First day; required.", "--from")] = None,
    last: Annotated[date | None, day("Last day; required.", "--to")] = None,
    every: Annotated[int, Option(min=1, max=250, help="Sessions from one night to the next.")] = 5,
    prices: Annotated[Path | None, folder("Use these daily price files, not the store.")] = None,
    settings: Settings = None,
    calendar: Calendar = None,
    as_json: Json = False,
) -> None:
    """Replay past nights as they would have been published. Prints one table with every simple
    forecast beside them.

    Without a TICKER, --prices takes every file of the folder.
    """
    from stockml.evaluation.backtest import MIN_NIGHTS
    from stockml.evaluation.backtest_table import contents
    from stockml.nights.tables import aligned

    if not tickers and prices is None:
        raise BadParameter(
            "expected a ticker of the store, or --prices FOLDER", param_hint="TICKER"
        )
    if first is None or last is None or last <= first:
        found = f"--from {first or 'missing'} and --to {last or 'missing'}"
        raise BadParameter(f"expected --from DATE before --to DATE, found {found}")
    sessions = 5 * ((last - first).days // 7 + 1)  # at most
    if (
        nights := (sessions - 1) // every + 1
    ) < MIN_NIGHTS:  # too short a span, whatever the history
        fault = f"expected a span of at least {MIN_NIGHTS} nights, found {nights} at most"
        raise BadParameter(f"{fault}; take a longer one, or a smaller --every")
    arguments: dict[str, Any] = {
        "first": first,
        "last": last,
        "every": every,
        "settings": as_settings(settings),
        "prices": str(prices or ""),
        "calendar": calendar,
    }
    check_bars(() if prices else tickers or (), calendar)
    table = run_flow("studies.backtest", tickers or [], quiet=as_json, **arguments)
    if as_json:
        print(json_text(asdict(table)))
        return
    for part in contents(table):
        is_text = isinstance(part, str)
        print(part if is_text else "\n".join(aligned(part, "<" + ">" * (len(part[0]) - 1))))


def _show_rows(rows: "Sequence[NightRow]", *, as_json: bool) -> int:
    from stockml.nights.universe import ending, records, text

    name, message = ending(rows, "all fail")
    plain = {"status": name, "message": message, "nights": records(rows)}
    print(json_text(plain) if as_json else f"{text(rows)}\n{message}")
    return int(name == "Failed")


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
        from tasks.artifacts import next_nights, next_runs

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
