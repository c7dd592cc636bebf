"""Commands that run many nights: past sessions in order, many tickers in parallel, and
backtests."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, BadParameter, Option, Typer

from deployments.cli.command_home import json_text
from deployments.cli.options import (
    Calendar,
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
)
from deployments.cli.runs import (
    check_bars,
    check_spelling,
    night_parameters,
    recorded_prices,
    run_flow,
)
from stockml.home import current_home

if TYPE_CHECKING:
    from stockml.nights.universe import NightRow

app = Typer()


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
    from stockml import clock
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
