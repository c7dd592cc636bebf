"""`python -m tests.bench.year`: a year with a feed that loses sessions, restates, spikes, refuses,
renames and delists.

Every night does what the flow does up to the series, over real HTTP, with a simple forecast in
place of the model. The result is compared with that of a clean feed.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from deployments.replay import NEW_YORK, RecordedRow
from stockml.errors import StockmlError
from stockml.forecasts.forecast import Band, Forecast
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import HomePaths, current_home
from stockml.maintenance.rename import rename
from stockml.nights import ingest, states
from stockml.nights.dataset import renormalise
from stockml.nights.session_status import session_status
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.provider.client import AlphaVantage
from stockml.storage.locks import FileNotes
from tests.support.recordings import recorded
from tests.support.scripted_feed import Fault, ScriptedFeed

EXCHANGE = sessions_for("IBM")
FIRST = date(2012, 2, 28)
CYCLE = 36  # nights in which each fault happens once
LOST, LATE, TENFOLD, DOWN_AND_BACK, RESTATED = 8, 10, 16, 19, 22
QUOTA, NO_DATA, OUTAGE, RENAME, RENAMED_BY_HAND, DELISTED = 25, 26, range(28, 33), 10, 12, 10
OTHERS = range(RENAME - 2, DELISTED + 8)  # nights of the renamed share and of the delisted one
PAYLOADS = Path(__file__).parents[1] / "payloads"


@dataclass
class Year:
    """The nights' messages by ticker and session, and the resulting home."""

    home: HomePaths
    nights: tuple[date, ...]
    said: dict[tuple[str, date], tuple[str, ...]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)

    def day(self, number: int) -> date:
        return self.nights[number]

    def cycles(self) -> range:
        return range(0, max(len(self.nights) - CYCLE + 1, 1), CYCLE)

    def numbers(self, night: int) -> list[int]:
        return [cycle + night for cycle in self.cycles()]

    def days(self, night: int) -> set[date]:
        return {self.nights[number] for number in self.numbers(night)}

    def edit(self, symbol: str, row: RecordedRow, now: datetime) -> RecordedRow | None:
        """Return IBM's row as the faulty feed shows it at `now`; None if it is missing."""
        if symbol != "IBM":
            return row
        later = {night: now.date() > row.session for night in (TENFOLD, RESTATED)}
        if row.session in self.days(LOST) or (
            row.session in self.days(LATE) and (now.date() - row.session).days < 4
        ):
            return None
        if row.session in self.days(TENFOLD) and not later[TENFOLD]:
            return scaled(row, 10.0)
        if row.session in self.days(DOWN_AND_BACK):
            return scaled(row, 0.55)
        return (
            scaled(row, 0.98) if row.session in self.days(RESTATED) and not later[RESTATED] else row
        )


def scaled(row: RecordedRow, factor: float) -> RecordedRow:
    prices = {
        name: round(getattr(row, name) * factor, 4) for name in ("open", "high", "low", "close")
    }
    return row._replace(**prices)


def play(place: HomePaths, nights: int) -> Year:
    """Run the nights in an empty home."""
    year = Year(place, EXCHANGE.between(FIRST, date(2013, 2, 27))[:nights])
    store = BarStore.of(place)
    history = recorded("IBM").loc[: str(year.day(5))].iloc[-700:]
    history.iloc[-50, :4] *= 1.03  # one day on which import and provider disagree
    began = datetime.combine(year.day(0), datetime.min.time(), NEW_YORK)
    with ScriptedFeed(
        aliases={"NEW": "GOOG", "OLD": "GOOG"},
        delisted={"AAPL": year.day(DELISTED)},
        edit=year.edit,
    ) as feed:
        for number, session in enumerate(year.nights):
            now = datetime.combine(session, datetime.min.time(), NEW_YORK) + timedelta(hours=23)
            feed.set_clock(now)
            if number == 6:
                store.record_import("IBM", history, recorded_at=now, source=f"from {began.date()}")
            if number == RENAMED_BY_HAND:
                rename(place, "OLD", "NEW")
            if any(number - cycle in OUTAGE for cycle in year.cycles()):
                continue  # the machine is off
            old = "NEW" if number >= RENAMED_BY_HAND else "OLD"
            for ticker in ("IBM", old, "AAPL") if number in OTHERS else ("IBM",):
                feed.outage(trouble(year, ticker, number))
                before = feed.requests
                year.said[ticker, session] = tuple(night(place, feed, ticker, session, now))
                year.requests[ticker] += feed.requests - before
    return year


def trouble(year: Year, ticker: str, number: int) -> Fault | None:
    if ticker == "IBM" and number in year.numbers(QUOTA):
        return Fault.file(PAYLOADS / "info_daily_limit_key.json")
    if ticker == "IBM" and number in year.numbers(NO_DATA):
        return Fault.file(PAYLOADS / "html_503_heroku_2018.html", 503)
    return (
        Fault.file(PAYLOADS / "err_invalid_symbol.json")
        if ticker == "OLD" and number >= RENAME
        else None
    )


def night(
    place: HomePaths, feed: ScriptedFeed, ticker: str, session: date, now: datetime
) -> Iterator[str]:
    """Do what `flows.nightly` does up to the series, publish a forecast, and yield the night's
    messages."""
    if rest := ingest.delisted_status(place, ticker, session):
        yield str(rest)
        return
    environ = {"ALPHAVANTAGE_API_KEY": "K3Y12345", "ALPHAVANTAGE_URL": feed.url}
    provider = AlphaVantage(
        environ, FileNotes(place.quota), clock=lambda: now, sleep=lambda seconds: None
    )
    try:
        with provider:
            payload = ingest.fetch(place, provider, ticker, session, sessions=EXCHANGE, now=now)
            bars = ingest.append(place, payload, calendar=None, now=now)
            outcome = session_status(
                EXCHANGE, requested=session, now=now, last_stored=None, newest=payload.newest
            )
            if outcome.state == states.STALE and ingest.ask_who_is_delisted(
                place, provider, ticker, now
            ):
                outcome = ingest.delisted_status(place, ticker, session) or outcome
            if payload.newest < session:
                yield str(outcome)
                return
            ingest.explain_jumps(place, provider, bars, calendar=None, now=now)
        if doubt := ingest.why_no_forecast(place, bars, None, 1):
            yield str(doubt)
            return
        dataset = renormalise(place, bars, calendar=None)
    except StockmlError as refused:
        yield str(refused)
        return
    yield from dataset.notes
    forecast = plain_forecast(PriceSeries.read(Path(dataset.path)))
    Ledger(place.ledger).publish(
        LedgerEntry(ticker, f"{ticker} {session} {dataset.sha256}", now, forecast)
    )


def plain_forecast(series: PriceSeries) -> Forecast:
    """A forecast of the last close, with bands from the last year's moves: any change in that year
    changes it."""
    lead = np.arange(1, 11)
    sigma = float(np.std(np.diff(np.log(series.close[-250:]))))
    path = np.full(10, series.close[-1])
    factors = {
        band: np.exp(z * sigma * lead**0.5) for band, z in ((50, 0.67), (80, 1.28), (95, 1.96))
    }
    bands = tuple(
        Band(band, tuple((path / f).tolist()), tuple((path * f).tolist()))
        for band, f in factors.items()
    )
    origin = series.sessions[-1].item()
    sessions = EXCHANGE.after(origin, 10)
    return Forecast(
        origin, float(series.mid[-1]), sessions, tuple(path.tolist()), bands, 0.5, (0.0,) * 10, 6
    )


def differing(year: Year) -> tuple[set[date], set[date]]:
    """Compare IBM with a clean feed lacking the same sessions: return the days of unequal bars,
    then of forecasts."""
    kept, clean = BarStore.of(year.home), recorded("IBM").loc[: str(year.nights[-1])]
    found = kept.read("IBM")
    at = clean.loc[found.index]
    bars = {day.date() for day in found.index[(found.iloc[:, :4] != at.iloc[:, :4]).any(axis=1)]}
    start, history = found.index[0], clean.index[clean.index.get_loc(str(year.day(5))) - 699]
    nights = set()
    for entry in Ledger(year.home.ledger).entries("IBM"):
        origin = entry.forecast.origin
        first = start if origin <= year.day(5) else history
        gone = {day for day in year.days(LOST) | year.days(DOWN_AND_BACK) if day < origin}
        known = clean.loc[str(first.date()) : str(origin)].drop([pd.Timestamp(day) for day in gone])
        expected = plain_forecast(PriceSeries.from_bars(known))
        if replace(entry.forecast, last_close=None) != replace(expected, last_close=None):
            nights.add(origin)
    return bars, nights


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.year", description=__doc__)
    parser.add_argument("--nights", type=int, default=251, help="at most 251")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        year = play(current_home({"STOCKML_HOME": folder}), asked.nights)
        before: dict[str, tuple[str, ...]] = {}
        for (ticker, session), said in year.said.items():
            for line in said:
                if line not in before.get(ticker, ()):
                    print(f"{session} {ticker:<5} {line[:150]}")
            before[ticker] = said
        for ticker in ("IBM", "NEW", "AAPL"):
            forecasts = len(Ledger(year.home.ledger).entries(ticker))
            print(f"{ticker}: {forecasts} forecasts, {year.requests[ticker]} requests")
        bars, nights = differing(year)
        print("IBM's bars that differ from a clean feed's:", *sorted(bars))
        print("IBM's forecasts that differ from a clean feed's:", *sorted(nights))


if __name__ == "__main__":
    main()
