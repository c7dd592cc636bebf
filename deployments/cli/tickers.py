"""Commands about the tickers that run every night: the list in the home, and Prefect's deployments
for it."""

import os
import sys
from contextlib import suppress
from typing import Annotated

from typer import Argument, BadParameter, Exit, Option, Typer

from deployments.cli.options import Calendar, Json, as_ticker, json_text
from stockml.errors import InvalidSetting, StoreBusy
from stockml.home import HomePaths, current_home
from stockml.settings import Profile
from stockml.storage.locks import file_lock
from stockml.tickers import as_key, exchange, from_yahoo

app = Typer()
WHEN = {"0-6": "every day", "1-5": "Monday to Friday", "2-6": "Tuesday to Saturday"}
DEPLOYING_S = 600  # the longest, with hundreds of tickers
mine = Typer(help="List, add, remove or rename the tickers that run every night.")
app.add_typer(mine, name="tickers")
Named = Annotated[
    list[str], Argument(parser=as_ticker, metavar="TICKER", help="Such as KO or TSCO.LON.")
]


@mine.command("list")
def list_tickers(as_json: Json = False) -> None:
    """Show the tickers and when each runs."""
    from deployments.registration.ticker_list import list_file, tickers_of
    from deployments.registration.tickers_file import staggered

    home = current_home()
    lines, path = staggered(tickers_of(home).tickers), list_file(home)
    if as_json:
        rows = [
            {**entry.model_dump(), "cron": cron, "timezone": entry.timezone}
            for entry, cron in lines
        ]
        print(json_text({"path": str(path), "tickers": rows}))
        return
    for entry, cron in lines:
        minute, hour, *_, days = cron.split()
        when, at = WHEN[days], f"{hour:0>2}:{minute:0>2}"
        other = "" if entry.profile == "nightly" else f", {entry.profile}"
        if days != "1-5" and at >= f"{entry.opens:%H:%M}":
            other += (
                f", once the market is open: {'no' if days == '0-6' else 'only a Friday'} "
                "forecast is live"
            )
        print(f"{entry.ticker:<12} {when} at {at} {entry.timezone}{other}")
    own = "" if path == home.tickers else "; `stockml tickers add TICKER` begins one of your own"
    print(f"{len(lines)} in {path}{own}")


@mine.command()
def add(
    tickers: Named,
    calendar: Calendar = None,
    at: Annotated[
        str | None, Option(metavar="HH:MM", help="Start time in the exchange's time zone.")
    ] = None,
    profile: Annotated[Profile | None, Option(help="Nightly or tutorial.")] = None,
) -> None:
    """Add tickers to run every night, to the default list or your own."""
    from deployments.registration import ticker_list
    from deployments.replay import recorded_rows
    from stockml.provider.price_source import plays_recorded
    from stockml.provider.quota import Plan

    home = current_home()
    # an unrecorded ticker would fail every night
    for ticker in tickers if plays_recorded(home, os.environ) else ():
        recorded_rows(ticker)
    choices = {"calendar": calendar, "at": at, "profile": profile}
    added = ticker_list.add(home, tickers, choices)
    spelt = ticker_list.listed_spelling(home)
    known = [
        each if (old := spelt(each)) == each else f"{each} (as {old})"
        for each in tickers
        if each not in added
    ]
    done = [f"added {', '.join(added)}"] if added else []
    if known:
        as_it_was = ", its entry as it was" if any(choices.values()) else ""
        done.append(f"{', '.join(known)} there already{as_it_was}")
    _print_and_register(home, "; ".join(done))
    for ticker in added:
        if symbol := from_yahoo(ticker):
            rename = f"`stockml tickers rename {ticker} {symbol}`"
            print(f"Yahoo's {ticker} is Alpha Vantage's {symbol}; if it is meant: {rename}")
    with suppress(InvalidSetting):  # of the plan, which `stockml doctor` reports
        shared = Plan.of(os.environ).shared_by(len(ticker_list.tickers_of(home).tickers))
        if shared and not plays_recorded(home, os.environ):
            print(shared)


@mine.command()
def remove(tickers: Named) -> None:
    """Stop running these; their bars, models and forecasts stay. Exit code 2 if one is not in the
    list."""
    from deployments.registration import ticker_list

    home = current_home()
    listed = [entry.ticker for entry in ticker_list.tickers_of(home).tickers]
    if missing := [ticker for ticker in tickers if ticker not in listed]:
        fault = (
            f"expected tickers in {ticker_list.list_file(home)}, found {', '.join(missing)}; "
            "nothing was removed"
        )
        raise BadParameter(fault, param_hint="TICKER")
    _print_and_register(home, f"removed {', '.join(ticker_list.remove(home, tickers))}")


@mine.command()
def rename(
    old: Annotated[str, Argument(parser=as_ticker, metavar="OLD", help="The symbol until now.")],
    new: Annotated[str, Argument(parser=as_ticker, metavar="NEW", help="The symbol from now on.")],
) -> None:
    """Rename a ticker whose symbol changed. Moves its bars, forecasts, models, MLflow's runs and
    its deployment."""
    from deployments.registration import ticker_list
    from stockml.maintenance.rename import is_known
    from stockml.maintenance.rename import rename as move
    from stockml.prices.store import BarStore

    home = current_home()
    if new == old:
        raise BadParameter(f"expected another symbol than {old}", param_hint="NEW")
    (_, before), (_, after) = exchange(old), exchange(new)
    if before != after and before and after and old in BarStore.of(home).tickers():
        fault = (
            f"expected a symbol quoted in {before}, as {old} is, found {new}, in {after}: their "
            "bars do not join"
        )
        raise BadParameter(
            f"{fault}; to begin {new} without them: `stockml tickers add {new}`", param_hint="NEW"
        )
    listed_tickers = [entry.ticker for entry in ticker_list.tickers_of(home).tickers]
    listed = old in listed_tickers
    shares = {
        as_key(each): each
        for each in (*BarStore.of(home).tickers(), *listed_tickers)
        if each not in (old, new)
    }
    if present := shares.get(as_key(new)):
        fault = f"expected a share that {home.root} does not have, found {new}, there as {present}"
        raise BadParameter(fault, param_hint="NEW")
    if listed and new in listed_tickers:
        advice = f"to follow it in place of {old}: `stockml tickers remove {old}`"
        raise BadParameter(
            f"expected a symbol outside the list, found {new}; {advice}", param_hint="NEW"
        )
    if not (listed or is_known(home, old) or is_known(home, new)):
        raise BadParameter(
            f"expected a ticker that {home.root} knows, found {old}", param_hint="OLD"
        )
    ticker_list.rename(home, old, new, only_check=True)
    moved = move(home, old, new)
    if ticker_list.rename(home, old, new):
        moved = (*moved, "its place in the list")
    # also where nothing was left to move: an earlier run may have been killed before it updated
    # Prefect
    done = (
        f"{old} is {new}: {', '.join(moved)}"
        if moved
        else f"nothing is kept of {old}, nothing was renamed"
    )
    _print_and_register(home, done)
    if not moved:
        raise Exit(2)


def register_all(home: HomePaths) -> list[str]:
    """Make Prefect's deployments and automations match the home's list; returns what was done, in
    lines."""
    from deployments.registration.ticker_list import earlier_names, forget_earlier_names, tickers_of
    from deployments.servers.prefect_api import prefect_api

    lock = home.locks / "deploy.lock"
    try:
        with file_lock(lock, 0):
            pass
    except StoreBusy as busy:
        whom = busy.why.removeprefix("waited 0 s")
        print(f"stockml: another command updates Prefect: waiting{whom}", file=sys.stderr)
    with file_lock(lock, DEPLOYING_S), prefect_api(home):  # of two, the later list stays
        from deployments.registration.automations import install
        from deployments.registration.prefect_deployments import (
            other_deployments,
            register,
            ticker_deployments,
        )
        from deployments.registration.tickers_file import digest_time
        from tasks.artifacts import show_status

        listed = tickers_of(home).tickers
        others = other_deployments(listed, digest_time(os.environ))
        result = register(
            [*ticker_deployments(listed, earlier_names(home)), *others], delete_others=True
        )
        forget_earlier_names(home)
        automations = install(os.environ)
        page = show_status()
    return [
        f"deployments: {result}",
        f"automations: {automations}",
        f"status   {page}   every share this morning",
    ]


def _print_and_register(home: HomePaths, done: str) -> None:
    """Print what was done; update Prefect's deployments now if it is up, else say that `stockml up`
    will."""
    from deployments.registration.ticker_list import list_file, tickers_of
    from deployments.servers.prefect_api import running_server

    print(f"{done}; {len(tickers_of(home).tickers)} in {list_file(home)}")
    if os.environ.get("PREFECT_API_URL") or running_server(home):
        try:
            print(*register_all(home), sep="\n")
        except Exception:  # such as of a server that asks for a password: printed after this line
            print("start `stockml up` again to tell Prefect")
            raise
    else:
        print("`stockml up` schedules them")


if __name__ == "__main__":  # as `stockml up` runs it, in a process of its own
    print(*register_all(current_home()), sep="\n")
