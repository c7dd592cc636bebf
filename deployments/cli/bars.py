"""Commands that read and fill what is kept: bars, imported history, forecasts, the ledger. None needs a server."""

import json
import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.cli.options import SHOWN_ROWS, Calendar, Json, Ticker, as_session, as_time
from stockml.home import home

if TYPE_CHECKING:
    import pandas as pd

    from stockml.forecasts.ledger import LedgerEntry
    from stockml.prices.store import BarStore

app = typer.Typer()
SHOWN_LEADS = (1, 5, 10, 20, 30, 40, 50)


@app.command()
def bars(
    ticker: Ticker,
    as_of: Annotated[
        datetime | None, typer.Option(parser=as_time, metavar="TIME", help="what was known then; UTC without a zone")
    ] = None,
    adjusted: Annotated[
        bool, typer.Option("--adjusted", help="adjusted for splits and joined with imported history")
    ] = False,
    csv: Annotated[bool, typer.Option("--csv", help="every bar as CSV on standard output")] = False,
    restated: Annotated[bool, typer.Option("--restated", help="what the provider changed afterwards")] = False,
    holes: Annotated[bool, typer.Option("--holes", help="sessions without a bar, and bars that are set aside")] = False,
    accept: Annotated[
        date | None, typer.Option(parser=as_session, metavar="SESSION", help="believe a bar that is set aside")
    ] = None,
    reject: Annotated[
        date | None, typer.Option(parser=as_session, metavar="SESSION", help="set a bar aside until it is restated")
    ] = None,
    calendar: Calendar = None,
    as_json: Json = False,
) -> None:
    """Show the stored bars of a ticker, and what is doubtful about them; accept or reject one."""
    store = _store(ticker, calendar)
    for session, accepted in ((accept, True), (reject, False)):
        if session:
            store.judge(ticker, session, accepted=accepted, recorded_at=datetime.now(UTC), source="stockml bars")
    if holes or accept or reject:
        _show_holes(ticker, store, as_json)
        return
    if restated:
        _show_restated(ticker, store, as_json)
        return
    found, how = _found(store, ticker, as_of, adjusted=adjusted)
    if csv:
        found.to_csv(sys.stdout, date_format="%Y-%m-%d", lineterminator="\n")
    elif as_json:
        print(json.dumps(_plain_bars(ticker, found)))
    else:
        first, last = found.index[0].date(), found.index[-1].date()
        print(f"{ticker}: {len(found):,} sessions, {first} to {last}, {how}")
        print(rows_of(found.tail(SHOWN_ROWS), SHOWN_ROWS))
        absent = store.view(ticker, as_of=as_of).holes(store.sessions(ticker)) if adjusted else ()
        if absent:
            named = ", ".join(map(str, absent[:SHOWN_ROWS]))
            print(f"{len(absent)} sessions of the calendar have no bar: {named}{' …' * (len(absent) > SHOWN_ROWS)}")


def rows_of(bars: "pd.DataFrame", ends: int) -> str:
    """The first and last rows, or all if they are few."""
    shown = bars if len(bars) <= 2 * ends else bars.iloc[[*range(ends), *range(-ends, 0)]]
    return str(shown.to_string(float_format=lambda value: f"{value:,.4f}".rstrip("0").rstrip(".")))


def _show_holes(ticker: str, store: "BarStore", as_json: bool) -> None:
    """Every session without a bar that is believed: set aside with its reason, or never given."""
    view = store.view(ticker)
    holes = view.holes(store.sessions(ticker))
    if as_json:
        aside = [{"session": str(bar.session), "reason": bar.reason} for bar in view.set_aside]
        print(json.dumps({"ticker": ticker, "holes": list(map(str, holes)), "set_aside": aside}))
        return
    lines = [f"{bar.session} set aside: {bar.reason}" for bar in view.set_aside]
    lines = sorted([*lines, *(f"{day} no bar" for day in holes)])
    print("\n".join(lines) or f"{ticker}: every session has a bar that is believed")


def _found(store: "BarStore", ticker: str, as_of: datetime | None, *, adjusted: bool) -> tuple["pd.DataFrame", str]:
    """The bars, and what they are: a ticker that was only imported has no raw ones."""
    from stockml.errors import InvalidSetting, NoBars

    try:
        if not adjusted:
            return store.read(ticker, as_of=as_of), "raw as traded"
        return store.adjusted(ticker, as_of=as_of), "adjusted"
    except NoBars:
        if adjusted:
            first = store.first_recorded(ticker) if as_of else None
            if first:
                raise InvalidSetting(
                    "--as-of", str(as_of), f"{first:%Y-%m-%d %H:%M} UTC or later, the first was recorded then"
                ) from None
            raise
        bars, _ = _found(store, ticker, as_of, adjusted=True)
        return bars, "adjusted, as imported"


def _show_restated(ticker: str, store: "BarStore", as_json: bool) -> None:
    """A line for each value that the provider changed: session, column, before and after, when it was recorded."""
    changes = store.restatements(ticker)
    if as_json:
        print(
            json.dumps({"ticker": ticker, "restated": json.loads(changes.to_json(orient="records", date_format="iso"))})
        )
    elif changes.empty:
        print(f"{ticker}: nothing was restated")
    else:
        print(changes.to_string(index=False))


@app.command()
def forecast(
    ticker: Ticker,
    expires_after: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="SESSIONS", help="the age beyond which it is called expired; else as its night was set"
        ),
    ] = None,
    calendar: Calendar = None,
    as_json: Json = False,
) -> None:
    """Show the newest published forecast of a ticker, and how old it is."""
    from deployments.cli import ledger_text
    from stockml import clock
    from stockml.forecasts.forecast import EXPIRES_AFTER, age_of
    from stockml.nights.record import kept_night
    from stockml.nights.summary import forecast_json
    from stockml.nights.tables import outlook_lines, rise

    entry, store = _newest_entry(ticker), _store(ticker, calendar)
    published, sessions = entry.forecast, store.sessions(ticker)
    night = kept_night(home().nights, ticker, entry.key)  # its record may have been cleared away
    if expires_after is None:
        expires_after = night.expires_after if night else EXPIRES_AFTER
    age, timing = age_of(published.origin, sessions, clock.now(), expires_after), entry.timing(sessions)
    close = _close_at(store, ticker, published.origin)
    if as_json:
        told = {"published_at": entry.published_at.isoformat(), "timing": timing, "last_close": close}
        told |= {"age_sessions": age.sessions, "expired": age.expired, "expires_after": age.expires_after}
        print(json.dumps({"ticker": ticker, "key": entry.key, **forecast_json(published), **told}))
        return
    band = published.band(80)
    print(f"{ticker}: {age}")
    if timing != "live":
        print(f"{timing}: published {entry.published_at:%Y-%m-%d %H:%M %Z}, {ledger_text.WHEN[timing]}")
    closed = "" if close is None else f"last close {close:.2f}, "
    print(f"{closed}last mid price {published.last_value:.2f}; the forecast is of mid prices, (high + low) / 2")
    print(f"{'step':>5} {'session':>12} {'forecast':>10} {'80 % interval':>20}")
    for lead in (lead for lead in SHOWN_LEADS if lead <= len(published.path)):
        low, high = band.low[lead - 1], band.high[lead - 1]
        day, value = published.sessions[lead - 1], published.path[lead - 1]
        print(f"{lead:>5} {day!s:>12} {value:>10.2f} {f'{low:.2f} to {high:.2f}':>20}")
    print(rise(night, published.probability_of_rise, published.direction_step))
    if published.without_network:
        print("no network has a part in it: the last close and the usual rise, with the pooled regression's interval")
    print("\n".join(outlook_lines(published)).lstrip("\n"))


@app.command()
def ledger(ticker: Ticker, calendar: Calendar = None, as_json: Json = False) -> None:
    """Show a ticker's forecasts, and how they turned out: live ones, and apart those that came late."""
    from deployments.cli import ledger_text
    from stockml.forecasts.ledger import Ledger
    from stockml.prices.series import PriceSeries

    kept, store = Ledger(home().ledger), _store(ticker, calendar)
    entries, sessions = kept.entries(ticker), store.sessions(ticker)
    series, first = (PriceSeries.from_bars(view(ticker)) for view in (store.adjusted, store.first_known))
    today, first_known = (kept.record(ticker, each, sessions) for each in (series, first))
    restated = kept.restated(ticker, first, series, sessions)
    if not as_json:
        listed = [ledger_text.entry_line(entry, sessions) for entry in entries[-SHOWN_ROWS:]]
        print(ledger_text.record_text(ticker, today, first_known, restated, listed))
        return
    made = [{**_plain_entry(entry), "timing": entry.timing(sessions)} for entry in entries]
    apart = {"late": vars(today.late), "backfilled": vars(today.backfilled)}
    bars = [{**vars(bar), "session": bar.session.isoformat()} for bar in restated]
    found = {"ticker": ticker, "entries": made, **vars(today.live), "apart": apart}
    print(json.dumps({**found, "first_known": vars(first_known.live), "restated_bars": bars}))


def _store(ticker: str, calendar: str | None) -> "BarStore":
    from stockml.prices.store import bar_store

    return bar_store(home(), ticker, calendar)


def _newest_entry(ticker: str) -> "LedgerEntry":
    from stockml.errors import NoForecast
    from stockml.forecasts.ledger import Ledger

    entries = Ledger(home().ledger).entries(ticker)
    if not entries:
        raise NoForecast(ticker, str(home().root))
    return max(entries, key=lambda entry: (entry.forecast.origin, entry.published_at))


def _close_at(store: "BarStore", ticker: str, session: date) -> float | None:
    """The close of the session in the shares of its own day; None where its bar is not there."""
    from stockml.errors import HistoryError, NoBars

    try:
        bars = store.adjusted(ticker, until=session)
    except (NoBars, HistoryError):
        return None
    return float(bars["close"].iloc[-1]) if bars.index[-1].date() == session else None


def _plain_entry(entry: "LedgerEntry") -> dict[str, Any]:
    """The forecast, with the MLflow run that its night's record names: the ledger is written before MLflow is told."""
    from stockml.evaluation.evaluate import LSTM
    from stockml.nights.record import kept_night

    forecast, night = entry.forecast, kept_night(home().nights, entry.ticker, entry.key)
    run_id, version = entry.run_id, entry.model_version
    if night and run_id is None:
        run_id, version = night.mlflow_run_id, night.model_version if night.publisher == LSTM else None
    return {
        "key": entry.key,
        "session": forecast.origin.isoformat(),
        "published_at": entry.published_at.isoformat(),
        "last_value": forecast.last_value,
        "end": forecast.path[-1],
        "due": forecast.sessions[-1].isoformat(),
        "weights": list(forecast.weights),
        "probability_of_rise": forecast.probability_of_rise,
        "mlflow_run_id": run_id,
        "model_version": version,
    }


def _plain_bars(ticker: str, found: "pd.DataFrame") -> dict[str, Any]:
    rows = [
        {"session": day.date().isoformat(), **{name: float(value) for name, value in row.items()}}
        for day, row in zip(found.index, found.to_dict("records"), strict=True)
    ]
    return {"ticker": ticker, "sessions": len(rows), "bars": rows}
