"""Commands that run many nights: past ones in order, many tickers at once, and policies against each other."""

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.cli.nights import ModeChoice, ProfileChoice, Settings, prices
from deployments.cli.options import Calendar, FirstDay, Json, LastDay, Session, Ticker, Tickers, as_settings
from deployments.cli.runs import run_backfill, run_universe, run_walk_forward
from deployments.servers.prefect_api import prefect_api
from stockml.home import home

if TYPE_CHECKING:
    from stockml.nights.universe import NightRow

app = typer.Typer()


class FailChoice(StrEnum):
    ALL = "all fail"
    ANY = "any fails"
    NEVER = "never"


@app.command()
def backfill(
    ticker: Ticker,
    first: FirstDay,
    last: LastDay,
    every_night: Annotated[
        bool, typer.Option("--every-night", help="learn after every session, not once at the end")
    ] = False,
    mode: ModeChoice = ModeChoice.AUTO,
    profile: ProfileChoice = ProfileChoice.NIGHTLY,
    settings: Settings = None,
    calendar: Calendar = None,
    as_json: Json = False,
) -> int:
    """Catch up past sessions of a ticker, from FIRST to LAST."""
    from stockml import clock
    from stockml.pipeline.backfill import past_sessions
    from stockml.prices.calendar import sessions_for

    learn = "every night" if every_night else "once at the end"
    arguments = {"mode": mode.value, "profile": profile.value, "settings": as_settings(settings or [])}
    past_sessions(sessions_for(ticker, calendar), first, last, clock.now())  # what cannot be is no failed run
    with prices(ticker), prefect_api(home()):
        rows = run_backfill(ticker, first=first, last=last, learn=learn, calendar=calendar, quiet=as_json, **arguments)
    return _show_rows(rows, "all fail", as_json=as_json)


@app.command()
def universe(
    tickers: Tickers = None,
    session: Session = None,
    mode: ModeChoice = ModeChoice.AUTO,
    profile: ProfileChoice = ProfileChoice.NIGHTLY,
    settings: Settings = None,
    processes: Annotated[int, typer.Option(min=1, max=64, help="worker processes on this machine")] = 2,
    dask: Annotated[str | None, typer.Option(metavar="ADDRESS", help="a running Dask scheduler, tcp://...")] = None,
    fail_when: Annotated[FailChoice, typer.Option(help="when the whole counts as failed")] = FailChoice.ALL,
    as_json: Json = False,
) -> int:
    """Run many tickers' nights at once, those of `stockml tickers` if none."""
    from deployments.registration.own_list import tickers_of

    named = tickers or [entry.ticker for entry in tickers_of(home()).tickers]
    arguments = {"mode": mode.value, "profile": profile.value, "settings": as_settings(settings or [])}
    with prices(*named), prefect_api(home()):
        rows = run_universe(
            named,
            session=session,
            processes=processes,
            dask_address=dask,
            fail_when=fail_when.value,
            late_retries=0,
            quiet=as_json,
            **arguments,
        )
    return _show_rows(rows, fail_when.value, as_json=as_json)


@app.command("walk-forward")
def walk_forward(
    ticker: Ticker,
    nights: Annotated[int, typer.Option(min=1, max=2500, help="past sessions to replay")] = 60,
    every: Annotated[int, typer.Option(min=1, max=250, help="sessions between two of them")] = 1,
    profile: ProfileChoice = ProfileChoice.NIGHTLY,
    settings: Settings = None,
    calendar: Calendar = None,
    as_json: Json = False,
) -> None:
    """Replay past nights under each retraining policy."""
    arguments: dict[str, Any] = {"profile": profile.value, "settings": as_settings(settings or [])}
    with prefect_api(home()):
        rows = run_walk_forward(ticker, nights=nights, every=every, calendar=calendar, quiet=as_json, **arguments)
        from stockml.evaluation.backtest import table

    shown = {"ticker": ticker, "nights": nights, "policies": [vars(row) for row in rows]}
    print(json.dumps(shown) if as_json else "\n".join(aligned(table(rows))))


def aligned(markdown: Sequence[str]) -> list[str]:
    """A Markdown table's rows in columns, as a terminal shows them; numbers to the right."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown if set(line) - set("|-: ")]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = [column[-1][:1] in "+-0123456789" for column in zip(*rows, strict=True)]
    cells = (zip(row, widths, right, strict=True) for row in rows)
    return ["  ".join(f"{text:>{wide}}" if flush else f"{text:<{wide}}" for text, wide, flush in row) for row in cells]


def _show_rows(rows: "Sequence[NightRow]", fail_when: Any, *, as_json: bool) -> int:
    from stockml.nights.universe import ending, records

    end = ending(rows, fail_when)
    if as_json:
        print(json.dumps({"status": end.name, "message": end.message, "nights": records(rows)}))
        return int(end.failed)
    print(
        f"{'ticker':<10} {'session':<11} {'outcome':<16} {'mode':<10} {'LSTM skill':>10} {'network adds':>12} "
        f"{'now':>9} {'forecast':>9} {'rise':>5}"
    )
    for row in rows:
        skills = _cell(row.skill, "+.3f"), _cell(row.network_adds, "+.3f")
        prices = _cell(row.now, ".2f"), _cell(row.forecast, ".2f"), _cell(row.rise, ".0%")
        print(
            f"{row.ticker:<10} {row.session or ''!s:<11} {row.outcome:<16} {row.mode or '':<10} "
            f"{skills[0]:>10} {skills[1]:>12} {prices[0]:>9} {prices[1]:>9} {prices[2]:>5}"
        )
    print(end.message)
    return int(end.failed)


def _cell(value: float | None, shape: str) -> str:
    return "-" if value is None else format(value, shape)
