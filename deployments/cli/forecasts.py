"""Commands that show the results of nights: the newest forecast, the scores of past ones, the plots."""

import sys
from datetime import date
from shutil import get_terminal_size
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option, Typer

from deployments.cli.command_home import json_text
from deployments.cli.options import SHOWN_ROWS, Calendar, Json, Session, Ticker
from stockml.errors import HistoryError, InvalidFile, NoBars, TrackingUnavailable
from stockml.home import current_home
from stockml.redaction import one_line

if TYPE_CHECKING:
    from stockml.forecasts.ledger import LedgerEntry
    from stockml.nights.record import Night
    from stockml.prices.store import BarStore

app = Typer()
SHOWN_LEADS = (1, 5, 10, 20, 30, 40, 50)


@app.command()
def forecast(
    ticker: Ticker,
    expires_after: Annotated[
        int | None,
        Option(min=0, metavar="SESSIONS", help="Age beyond which it counts as expired; default: its night's setting."),
    ] = None,
    calendar: Calendar = None,
    as_json: Json = False,
) -> None:
    """Show a ticker's newest forecast and its age."""
    from deployments.cli import ledger_text
    from deployments.registration.ticker_list import ticker_store
    from stockml import clock
    from stockml.forecasts.forecast import EXPIRES_AFTER, age_of, price_text
    from stockml.forecasts.ledger import Ledger, entries_of
    from stockml.nights.summary import forecast_json
    from stockml.nights.tables import outlook, rise

    [entry] = entries_of(ticker, Ledger(current_home().ledger).newest(ticker))
    store, night = ticker_store(current_home(), ticker, calendar), _night_of(entry)
    sessions = store.sessions(ticker)
    published = night.forecast if night and night.forecast else entry.forecast  # the ledger keeps no outlook
    if expires_after is None:
        expires_after = night.expires_after if night else EXPIRES_AFTER
    age, timing = age_of(published.origin, sessions, clock.now(), expires_after), entry.timing(sessions)
    close = published.last_close or _close_at(store, ticker, published.origin)  # as it was known, restated or not
    if as_json:
        extra = {"published_at": entry.published_at.isoformat(), "timing": timing, "last_close": close}
        extra |= {"age_sessions": age.sessions, "expired": age.expired, "expires_after": age.expires_after}
        print(json_text({"ticker": ticker, "key": entry.key, **forecast_json(published), **extra}))
        return
    band, width = published.band(80), get_terminal_size().columns
    print(f"{ticker}: {age}")
    if timing != "live":
        print(f"{timing}: published {entry.published_at:%Y-%m-%d %H:%M %Z}, {ledger_text.WHEN[timing]}")
    prefix = "" if close is None else f"last close {price_text(close)}, "
    if published.price == "close":
        print(f"last close {price_text(published.now)}; the forecast is of closes")
    else:
        mid = price_text(published.last_value)
        print(f"{prefix}last mid price {mid}; the forecast is of mid prices, (high + low) / 2")
    print(f"{'step':>5} {'session':>12} {'forecast':>10} {'80% interval':>20}")
    for lead in (lead for lead in SHOWN_LEADS if lead <= len(published.path)):
        value, low, high = (price_text(prices[lead - 1]) for prices in (published.path, band.low, band.high))
        print(f"{lead:>5} {published.sessions[lead - 1]!s:>12} {value:>10} {f'{low} to {high}':>20}")
    if published.sessions[-1] > (last_day := sessions.holidays_known_through):
        warning = f"the holidays of {sessions.name} are known through {last_day}: after it every weekday counts as a "
        print(fill(f"{warning}session, so later dates may be too early", width))
    print(fill(rise(night, published), width))
    if night and not night.by_network:
        print("no network has a part in it: the last close and the usual rise, with the regression's interval")
    print("\n".join([*outlook(published, night).lines(), ""]).lstrip("\n"))


def _night_of(entry: "LedgerEntry") -> "Night | None":
    """The record of the entry's night; None if maintenance has removed it, or it is damaged, which is printed."""
    from stockml.nights.record import night_path, read_night

    record = night_path(current_home().nights, entry.ticker, entry.key)
    try:
        return read_night(record) if record.is_file() else None
    except InvalidFile as damaged:
        print(f"stockml: its night's record is left out: {one_line(str(damaged))}", file=sys.stderr)
        return None


@app.command()
def ledger(ticker: Ticker, calendar: Calendar = None, as_json: Json = False) -> None:
    """Show how a ticker's past forecasts turned out. Late and backfilled ones are scored apart from live ones."""
    from deployments.cli import ledger_text
    from deployments.registration.ticker_list import ticker_store
    from stockml.forecasts.ledger import Ledger
    from stockml.forecasts.ledger_scores import last_closes, restated_bars, steps_across, steps_without_bar
    from stockml.prices.series import PriceSeries

    ledger, store = Ledger(current_home().ledger), ticker_store(current_home(), ticker, calendar)
    entries, sessions = ledger.entries(ticker), store.sessions(ticker)
    series, first_series = (PriceSeries.from_bars(view(ticker)) for view in (store.adjusted, store.first_known))
    factors = store.restated_price_factors(ticker)
    today, first_known = (ledger.record(ticker, each, sessions, factors) for each in (series, first_series))
    counting = ledger.counting(ticker, sessions)
    restated, across = restated_bars(counting, first_series, series), steps_across(counting, series)
    without_bar = steps_without_bar(counting, series)
    if not as_json:
        steps = ledger.steps(ticker).drop_duplicates("key")
        closes = dict(zip(steps["key"], last_closes(steps, first_series, factors), strict=True))  # as known then
        shown, counted = sorted(entries, key=lambda each: each.forecast.origin)[-SHOWN_ROWS:], set(counting["key"])
        lines = [ledger_text.entry_line(each, sessions, closes[each.key], each.key in counted) for each in shown]
        if any(each.key not in counted for each in shown):
            lines.append(ledger_text.NOT_COUNTED)
        print(ledger_text.record_text(ticker, today, first_known, restated, across, without_bar, lines))
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
def plots(ticker: Ticker, session: Session = None, as_json: Json = False) -> None:
    """Draw every plot of a ticker's newest night. Or of the one in --session; its run in MLflow gets them too."""
    from stockml.nights.record import kept_nights
    from stockml.plots.night import draw_rest
    from stockml.tracking.client import Tracking
    from stockml.tracking.run_content import plot_names

    home = current_home()
    nights = [night for night in kept_nights(home.nights, ticker) if session in (None, night.session)]
    if not nights:
        which, option = (f"of {session}", f" --session {session}") if session else ("that was completed", "")
        why = f"expected a night {which}, found none; `stockml nightly {ticker}{option}` runs one"
        raise InvalidFile(str(home.nights / ticker), why)
    night = nights[-1]
    draw_rest(home, night)
    try:
        Tracking(home).log_plots(night)
    except TrackingUnavailable as error:
        print(f"not in MLflow: {error}", file=sys.stderr)
    names = plot_names(night)
    plain = {"folder": night.plots_folder, "plots": names}
    lines = [f"{night.run_name}: {len(names)} plots in {night.plots_folder}"]
    print(json_text(plain) if as_json else "\n".join([*lines, *(f"  {name}.png" for name in names)]))


def _close_at(store: "BarStore", ticker: str, session: date) -> float | None:
    """The session's close in the share units of that day; None if there is no such bar."""
    try:
        bars = store.adjusted(ticker, until=session)
    except (NoBars, HistoryError):
        return None
    return float(bars["close"].iloc[-1]) if bars.index[-1].date() == session else None


def _plain_entry(entry: "LedgerEntry") -> dict[str, Any]:
    """The entry as JSON values; its run comes from the night's record, as the ledger is written before MLflow's run."""
    from stockml.evaluation.path_scores import LSTM
    from stockml.nights.record import kept_night

    forecast, night = entry.forecast, kept_night(current_home().nights, entry.ticker, entry.key)
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
