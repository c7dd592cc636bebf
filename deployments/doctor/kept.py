"""The doctor's look at what is kept: bars, forecasts, champions, settings, nights."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from deployments.doctor.check import Check
from stockml.errors import StockmlError
from stockml.home import Home
from stockml.settings import AgeingSettings

if TYPE_CHECKING:
    from stockml.prices.store import BarStore

CLOCK_TOLERANCE = timedelta(hours=1)
OLD_AGE = AgeingSettings().stale_bars


def tickers(home: Home, now: datetime, *, replay: bool) -> Iterator[Check]:
    """Every ticker's store, ledger and champion can be read, and how old its newest bar is.

    replay: `now` is a replayed moment, while bars are recorded by the machine's clock.
    """
    from stockml.prices.store import BarStore

    store = BarStore(home.store, home.locks)
    try:
        names = store.tickers()
    except (StockmlError, OSError) as error:
        yield Check("store", "problem", str(error))
        return
    if not names:
        yield Check("store", "note", "no bars yet", "`make run`, or `stockml nightly TICKER`")
    for name in names:
        yield _ticker(home, store, name, now, replay)


def _ticker(home: Home, store: "BarStore", name: str, now: datetime, replay: bool) -> Check:
    from stockml.forecasts.ledger import Ledger
    from stockml.models.champions import check_intact
    from stockml.models.registry import Registry

    try:
        view = store.view(name)
        forecasts = len(Ledger(home.ledger).entries(name))
        if champion := Registry(home.models).champion(name):
            check_intact(name, champion.path, champion.sha256)
    except StockmlError as error:
        return Check(name, "problem", str(error))
    bars, holes = view.bars, view.holes(store.sessions(name))
    recorded = store.newest_record(name)
    if recorded and not replay and recorded > now + CLOCK_TOLERANCE:
        found = f"a bar is recorded at {recorded:%Y-%m-%d %H:%M} UTC, which is still to come"
        advice = f"the clock was ahead then, or is behind now: set it, and ask again, `stockml nightly {name} --force`"
        return Check(name, "problem", found, f"{advice}; newer answers count after that bar, and none is lost")
    last = bars.index[-1].date()
    found = f"{len(bars):,} sessions to {last}, {forecasts} forecast{'s' * (forecasts != 1)}"
    found += f", {len(holes)} without a bar" * bool(holes) + f", {len(view.set_aside)} set aside" * bool(view.set_aside)
    age = store.sessions(name).age(last, now)
    advice = f"`stockml bars {name} --holes`" if holes or view.set_aside else ""
    advice = f"`stockml nightly {name}`" if age > OLD_AGE else advice
    return Check(name, "note" if advice else "ok", f"{found}, {age} session{'s' * (age != 1)} behind", advice)


def settings(home: Home) -> Iterator[Check]:
    """Every ticker's own settings can be read."""
    from stockml.training.tuned_settings import tuned_settings

    for path in sorted(home.settings.glob("*.json")):
        try:
            tuned_settings(home, path.stem)
        except StockmlError as error:
            yield Check(f"settings of {path.stem}", "problem", str(error))


def nights(home: Home) -> Iterator[Check]:
    """Every night's record is as it was written; how many MLflow lacks."""
    from stockml.maintenance.soundness import damaged_nights
    from stockml.tracking.client import Tracking

    for fault in damaged_nights(home):
        yield Check("a night", "problem", fault)
    if waiting := Tracking.of(home).pending():
        yield Check("nights", "note", f"{len(waiting)} wait for MLflow", "they are logged on the next run")
