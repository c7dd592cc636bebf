"""Commands that show the results of nights: the newest forecast, a size by it, the scores of past
ones."""

import sys
from datetime import date
from shutil import get_terminal_size
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option, Typer

from deployments.cli.command_home import json_text
from deployments.cli.options import SHOWN_ROWS, Calendar, Details, Json, Ticker, as_share
from stockml.errors import HistoryError, InvalidFile, NoBars
from stockml.home import current_home
from stockml.redaction import one_line

if TYPE_CHECKING:
    from stockml.forecasts.forecast import Forecast
    from stockml.forecasts.ledger import LedgerEntry
    from stockml.nights.record import Night
    from stockml.prices.calendar import Sessions
    from stockml.prices.store import BarStore

app = Typer()
SHOWN_LEADS = (1, 5, 10, 20, 30, 40, 50)


@app.command()
def forecast(
    ticker: Ticker,
    expires_after: Annotated[
        int | None,
        Option(
            min=0,
            metavar="SESSIONS",
            help="Age beyond which it counts as expired; default: its night's setting.",
        ),
    ] = None,
    calendar: Calendar = None,
    details: Details = False,
    as_json: Json = False,
) -> None:
    """Show a ticker's newest forecast and its age."""
    from deployments.cli import ledger_text
    from deployments.registration.ticker_list import ticker_store
    from stockml import clock
    from stockml.forecasts.forecast import EXPIRES_AFTER, age_of
    from stockml.forecasts.ledger import Ledger, entries_of
    from stockml.nights.card import Card
    from stockml.nights.status import UP_TO_DATE, rows
    from stockml.nights.summary import forecast_json

    [entry] = entries_of(ticker, Ledger(current_home().ledger).newest(ticker))
    store, night = ticker_store(current_home(), ticker, calendar), _night_of(entry)
    sessions = store.sessions(ticker)
    # the ledger keeps no outlook
    published = night.forecast if night and night.forecast else entry.forecast
    if expires_after is None:
        expires_after = night.expires_after if night else EXPIRES_AFTER
    age = age_of(published.origin, sessions, clock.now(), expires_after)
    timing = entry.timing(sessions)
    # as it was known, restated or not
    close = published.last_close or _close_at(store, ticker, published.origin)
    if as_json:
        extra = {
            "published_at": entry.published_at.isoformat(),
            "timing": timing,
            "last_close": close,
        }
        extra |= {
            "age_sessions": age.sessions,
            "expired": age.expired,
            "expires_after": age.expires_after,
        }
        print(json_text({"ticker": ticker, "key": entry.key, **forecast_json(published), **extra}))
        return
    [row] = rows(current_home(), [ticker], clock.now())
    state = "" if row.state == UP_TO_DATE else row.state
    print(Card.of(ticker, published, night, age, state).text())
    if timing != "live":
        print(
            f"{timing}: published {entry.published_at:%Y-%m-%d %H:%M %Z}, "
            f"{ledger_text.WHEN[timing]}"
        )
    if details and not age.expired:
        _print_details(published, night, sessions)


def _print_details(published: "Forecast", night: "Night | None", sessions: "Sessions") -> None:
    from stockml.forecasts.forecast import price_text
    from stockml.nights.tables import outlook, rise

    band, width = published.band(80), get_terminal_size().columns
    print(f"\n{'step':>5} {'session':>12} {'forecast':>10} {'80% interval':>20}")
    for lead in (lead for lead in SHOWN_LEADS if lead <= len(published.path)):
        value, low, high = (
            price_text(prices[lead - 1]) for prices in (published.path, band.low, band.high)
        )
        print(
            f"{lead:>5} {published.sessions[lead - 1]!s:>12} {value:>10} {f'{low} to {high}':>20}"
        )
    if published.sessions[-1] > (last_day := sessions.holidays_known_through):
        warning = (
            f"the holidays of {sessions.name} are known through {last_day}: after it every "
            "weekday counts as a "
        )
        print(fill(f"{warning}session, so later dates may be too early", width))
    print(
        "\n".join(
            [fill(f"chance {rise(night, published)}", width), *outlook(published, night).lines()]
        )
    )


def _night_of(entry: "LedgerEntry") -> "Night | None":
    """The record of the entry's night; None if maintenance has removed it, or it is damaged, which
    is printed."""
    from stockml.nights.record import night_path, read_night

    record = night_path(current_home().nights, entry.ticker, entry.key)
    try:
        return read_night(record) if record.is_file() else None
    except InvalidFile as damaged:
        print(f"stockml: its night's record is left out: {one_line(str(damaged))}", file=sys.stderr)
        return None


@app.command()
def ledger(ticker: Ticker, calendar: Calendar = None, as_json: Json = False) -> None:
    """Show how a ticker's past forecasts turned out. Late and backfilled ones are scored apart from
    live ones."""
    from deployments.cli import ledger_text
    from deployments.registration.ticker_list import ticker_store
    from stockml.forecasts.ledger import Ledger
    from stockml.forecasts.ledger_scores import (
        last_closes,
        restated_bars,
        steps_across,
        steps_without_bar,
    )
    from stockml.prices.series import PriceSeries

    ledger, store = Ledger(current_home().ledger), ticker_store(current_home(), ticker, calendar)
    entries, sessions = ledger.entries(ticker), store.sessions(ticker)
    series, first_series = (
        PriceSeries.from_bars(view(ticker)) for view in (store.adjusted, store.first_known)
    )
    factors = store.restated_price_factors(ticker)
    today, first_known = (
        ledger.record(ticker, each, sessions, factors) for each in (series, first_series)
    )
    counting = ledger.counting(ticker, sessions)
    restated, across = restated_bars(counting, first_series, series), steps_across(counting, series)
    without_bar = steps_without_bar(counting, series)
    if not as_json:
        steps = ledger.steps(ticker).drop_duplicates("key")
        # as known then
        closes = dict(zip(steps["key"], last_closes(steps, first_series, factors), strict=True))
        shown, counted = (
            sorted(entries, key=lambda each: each.forecast.origin)[-SHOWN_ROWS:],
            set(counting["key"]),
        )
        lines = [
            ledger_text.entry_line(each, sessions, closes[each.key], each.key in counted)
            for each in shown
        ]
        if any(each.key not in counted for each in shown):
            lines.append(ledger_text.NOT_COUNTED)
        print(
            ledger_text.record_text(
                ticker, today, first_known, restated, across, without_bar, lines
            )
        )
        return
    entry_rows = [{**_plain_entry(entry), "timing": entry.timing(sessions)} for entry in entries]
    apart = {"late": vars(today["late"]), "backfilled": vars(today["backfilled"])}
    bars = [{**vars(bar), "session": bar.session.isoformat()} for bar in restated]
    plain = {"ticker": ticker, "entries": entry_rows, **vars(today["live"]), "apart": apart}
    plain |= {"first_known": vars(first_known["live"]), "restated_bars": bars}
    for name, left_out in {"across_units": across, "without_bar": without_bar}.items():
        plain[name] = {str(day): steps for day, steps in left_out.items()}
    print(json_text(plain))


@app.command()
def size(
    ticker: Ticker,
    capital: Annotated[
        float, Option(metavar="AMOUNT", help="In the currency in which the exchange quotes it.")
    ],
    risk: Annotated[
        float, Option(parser=as_share, metavar="PERCENT", help="Of the capital, such as 1%.")
    ],
    lead: Annotated[
        int, Option(metavar="SESSIONS", help="Over how many sessions after the forecast's close.")
    ] = 1,
    calendar: Calendar = None,
    as_json: Json = False,
) -> None:
    """Say how many shares to hold for a risk. They lose at most so much of your capital, but for
    one case in twenty."""
    from deployments.registration.ticker_list import ticker_store
    from stockml import clock
    from stockml.forecasts.forecast import LIMITS, position
    from stockml.nights.published import newest_published

    published = newest_published(current_home(), ticker)
    age = published.age(
        ticker_store(current_home(), ticker, calendar).sessions(ticker), clock.now()
    )
    found = position(ticker, published.forecast, age, capital=capital, risk=risk, lead=lead)
    print(
        json_text({**found.plain(), "limits": LIMITS})
        if as_json
        else fill(found.text(), get_terminal_size().columns)
    )


def _close_at(store: "BarStore", ticker: str, session: date) -> float | None:
    """The session's close in the share units of that day; None if there is no such bar."""
    try:
        bars = store.adjusted(ticker, until=session)
    except (NoBars, HistoryError):
        return None
    return float(bars["close"].iloc[-1]) if bars.index[-1].date() == session else None


def _plain_entry(entry: "LedgerEntry") -> dict[str, Any]:
    """The entry as JSON values; its run comes from the night's record, as the ledger is written
    before MLflow's run."""
    from stockml.evaluation.path_scores import LSTM
    from stockml.nights.record import kept_night

    forecast, night = entry.forecast, kept_night(current_home().nights, entry.ticker, entry.key)
    run_id, version = entry.run_id, entry.model_version
    if night and run_id is None:
        run_id, version = (
            night.mlflow_run_id,
            night.model_version if night.publisher == LSTM else None,
        )
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
