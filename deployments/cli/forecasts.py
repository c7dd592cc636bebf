"""Commands that show the results of nights: the newest forecast, a size by it, the scores of past
ones."""

from datetime import date
from shutil import get_terminal_size
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

from typer import Option, Typer

from deployments.cli.options import Calendar, Details, Json, Ticker, as_share, json_text
from stockml.errors import HistoryError, NoBars
from stockml.home import current_home

if TYPE_CHECKING:
    from stockml.forecasts.forecast import Forecast
    from stockml.nights.record import Night
    from stockml.prices.calendar import Sessions
    from stockml.prices.store import BarStore

app = Typer()
SHOWN_LEADS = (1, 5, 10, 20, 30, 40, 50)


@app.command()
def forecast(
    ticker: Ticker,
    calendar: Calendar = None,
    past: Annotated[
        bool, Option("--past", help="Show how earlier forecasts turned out instead.")
    ] = False,
    details: Details = False,
    as_json: Json = False,
) -> None:
    """Show a ticker's newest forecast and its age."""
    from deployments.cli import past_forecasts
    from deployments.registration.ticker_list import ticker_store
    from stockml import clock
    from stockml.nights.card import Card
    from stockml.nights.frames import newest_published
    from stockml.nights.status import UP_TO_DATE, rows
    from stockml.nights.summary import forecast_json

    home = current_home()
    if past:
        past_forecasts.show(ticker, calendar, as_json=as_json)
        return
    found, store = newest_published(home, ticker), ticker_store(home, ticker, calendar)
    entry, published, sessions = found.entry, found.forecast, store.sessions(ticker)
    age, timing = found.age(sessions, clock.now()), entry.timing(sessions)
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
    [row] = rows(home, [ticker], clock.now())
    state = "" if row.state == UP_TO_DATE else row.state
    print(Card.of(ticker, published, found.night, age, state).text())
    if timing != "live":
        print(
            f"{timing}: published {entry.published_at:%Y-%m-%d %H:%M %Z}, "
            f"{past_forecasts.WHEN[timing]}"
        )
    if details and not age.expired:
        _print_details(published, found.night, sessions)


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
    from stockml.nights.frames import newest_published

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
