"""Checks of the stored files: bars, forecasts, champions, settings, pretrained networks, nights,
and MLflow's copies of them."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from deployments.doctor.check import Check, guarded
from deployments.registration.ticker_list import own_calendars, tickers_of
from stockml import clock
from stockml.errors import NoBars, StockmlError, TrackingUnavailable, quantity
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.maintenance.integrity import (
    BARS_BACK,
    NO_BARS,
    check_champion,
    damaged_nights,
    damaged_vintages,
    database_fault,
    missing,
    promoted_tickers,
    tuned_tickers,
)
from stockml.nights.ingest import delisted_status
from stockml.nights.key_figures import store_of
from stockml.nights.status import known_tickers
from stockml.prices.store import BarStore
from stockml.settings import AgeingSettings
from stockml.storage.locks import interrupted_renames
from stockml.tracking.client import Tracking
from stockml.tracking.connection import SQLITE, is_server
from stockml.training.tuned_settings import tuned_settings

CLOCK_TOLERANCE = timedelta(hours=1)
OLD_AGE = AgeingSettings().stale_bars


def tickers(home: HomePaths, now: datetime, *, replay: bool) -> Iterator[Check]:
    """Check that each ticker's store, ledger and champion are readable, and report its newest bar's
    age.

    replay: whether `now` is a replayed time, while bars are recorded by the machine's clock.
    """
    for half_done in interrupted_renames(home):
        yield Check("rename", "problem", str(half_done))
    store = BarStore.of(home)
    names: tuple[str, ...] = ()
    try:
        if not (names := store.tickers()):
            yield Check("store", "note", "no bars yet", "`stockml nightly TICKER`")
    except (StockmlError, OSError) as error:
        yield Check("store", "problem", str(error))
    # a ticker may have forecasts or a champion although its bars are gone
    # without a list of its own, nights are by hand
    listed = own_calendars(home) if home.tickers.exists() else {}
    for name in sorted({*names, *known_tickers(home), *promoted_tickers(home)}):
        yield from guarded(
            name, _ticker, home, name, listed.get(name), now, replay, name in listed or not listed
        )


def _ticker(
    home: HomePaths, name: str, calendar: str | None, now: datetime, replay: bool, is_followed: bool
) -> Check:
    store = store_of(home, name, calendar)
    try:
        forecasts = int(Ledger(home.ledger).steps(name)["key"].nunique())
        check_champion(home, name)
        view = store.view(name)
        delisted = delisted_status(home, name, store.sessions(name).last_final(now))
    except NoBars as error:
        return Check(name, "problem", f"{error.path}: {NO_BARS}", BARS_BACK)
    bars, holes = view.bars, view.holes(store.sessions(name))
    recorded = store.newest_record(name)
    if recorded and not replay and recorded > now + CLOCK_TOLERANCE:
        found = f"a bar is recorded at {clock.shown(recorded)}, which is still to come"
        advice = (
            "the clock was ahead then, or is behind now: set it, and ask again, `stockml nightly "
            f"{name} --force`"
        )
        return Check(
            name,
            "problem",
            found,
            f"{advice}; newer answers count after that bar, and none is lost",
        )
    last = bars.index[-1].date()
    found = f"{len(bars):,} sessions to {last}, {quantity(forecasts, 'forecast')}"
    found += f", {len(holes)} without a bar" * bool(
        holes
    ) + f", {len(view.set_aside)} set aside" * bool(view.set_aside)
    age = store.sessions(name).age(last, now)
    advice = f"`stockml bars {name} --holes`" if holes or view.set_aside else ""
    advice = str(delisted or f"`stockml nightly {name}`") if age > OLD_AGE else advice
    if not is_followed:
        found, advice = f"{found}, not followed", ""
    return Check(
        name, "note" if advice else "ok", f"{found}, bars {quantity(age, 'session')} behind", advice
    )


def settings(home: HomePaths) -> Iterator[Check]:
    yield from guarded("list of tickers", tickers_of, home)
    for name in tuned_tickers(home):
        yield from guarded(f"settings of {name}", tuned_settings, home, name)


def nights(home: HomePaths) -> Iterator[Check]:
    """Check that pretrained networks and night records are intact and their files exist; count the
    nights that wait for MLflow."""
    sources = {
        "a pretrained network": damaged_vintages,
        "a night": damaged_nights,
        "a night's outcome": missing,
    }
    for name, faults in sources.items():
        yield from guarded(name, _problems, name, faults, home)
    if waiting := Tracking(home).pending():
        yield Check(
            "nights",
            "note",
            f"{quantity(len(waiting), 'night')} not in MLflow yet",
            "logged on the next run",
        )


def _problems(
    name: str, faults: Callable[[HomePaths], Iterator[str]], home: HomePaths
) -> Iterator[Check]:
    return (Check(name, "problem", fault) for fault in faults(home))


def tracked(home: HomePaths) -> Iterator[Check]:
    """Check that MLflow's database can be read by the installed MLflow, and that its files are
    where it says."""
    file = (
        Path(home.tracking_uri.removeprefix(SQLITE))
        if home.tracking_uri.startswith(SQLITE)
        else None
    )
    if is_server(home.tracking_uri) or (
        file and (not file.exists() or database_fault(file, "experiments"))
    ):
        return  # no local database, or one whose fault `databases` reports
    try:
        Tracking(home).check()
    except TrackingUnavailable as refused:
        yield Check("MLflow's runs", "problem", str(refused), "until then, nights are kept")
