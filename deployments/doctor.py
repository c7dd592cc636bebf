"""`stockml doctor`: what could make tonight's run fail, and its remedy. Changes nothing."""

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Literal

from deployments.registration.ticker_list import tickers_of
from deployments.servers import prefect_api
from deployments.servers.access import SET_PASSWORD
from deployments.servers.prefect_api import ServerUnavailable
from stockml.clock import is_frozen
from stockml.errors import StockmlError, TrackingUnavailable, quantity
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.models.registry import Registry, check_intact, promoted_tickers
from stockml.models.vintage_store import KINDS, read
from stockml.nights.ingest import delisted_status
from stockml.nights.key_figures import store_of
from stockml.nights.record import check_night
from stockml.nights.status import known_tickers
from stockml.prices.store import BarStore
from stockml.provider.client import AlphaVantage
from stockml.provider.price_source import IN_WORDS, kind_here, plays_recorded
from stockml.provider.quota import Plan, QuotaLedger
from stockml.redaction import ApiKey
from stockml.settings import AgeingSettings
from stockml.storage.locks import FileNotes, interrupted_renames
from stockml.storage.os_errors import check_home, closed_to_us, refused
from stockml.tracking import connection
from stockml.tracking.client import Tracking

DISK_NEEDED_GB = 2.0
OLD_AGE = AgeingSettings().stale_bars
DAMAGED = "restore it from a backup, or move it away"


@dataclass(frozen=True)
class Check:
    """The result of one check; `advice` says what to do, and is empty if there is nothing."""

    name: str
    verdict: Literal["ok", "problem"]
    found: str
    advice: str = ""

    def __str__(self) -> str:
        mark = "PROBLEM" if self.verdict == "problem" else "ok     "
        return f"{mark} {self.name}: {self.found}" + (f"; {self.advice}" if self.advice else "")


def examine(home: HomePaths, environ: Mapping[str, str], now: datetime) -> Iterator[Check]:
    """Yield all checks, in the order to fix problems in. now: timezone-aware."""
    checks = {
        "versions": versions(),
        "home": home_folder(home),
        "key": key(home, environ, now),
        "price service": price_service(home, environ),
        "Prefect": prefect(home, environ),
        "MLflow": mlflow(home),
        "tickers": tickers(home, now),
        "stored files": stored_files(home),
    }
    for name, each in checks.items():
        yield from guarded(name, each)


def guarded(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """Yield the checks; an error among them is a problem, and ends no others."""
    try:
        yield from checks
    except (StockmlError, OSError) as error:
        yield Check(name, "problem", refused(error))


def versions() -> Iterator[Check]:
    """Name Prefect and MLflow where they are outside of the ranges of this package."""
    for wrong in prefect_api.wrong_versions():
        yield Check(wrong.name, "problem", str(wrong))


def home_folder(home: HomePaths) -> Iterator[Check]:
    """Check that the home is there, can be written, and has room."""
    check_home(home)
    folder = next(each for each in (home.root, *home.root.parents) if each.exists())
    free_gb, root = shutil.disk_usage(folder).free / 1e9, quote(str(home.root))
    found, advice = f"{home.root}, {free_gb:.1f} GB free", ""
    if not os.access(folder, os.W_OK):
        advice = "it cannot be written: correct its rights, or set STOCKML_HOME"
    elif home.root.exists() and (closed := next(closed_to_us(home.root), None)):
        found = f"{closed} may not be read and written by this user, as after `sudo stockml`"
        advice = f"`sudo chown -R $(id -un): {root}; chmod -R u+rwX {root}`"
    elif free_gb < DISK_NEEDED_GB:
        advice = f"free at least {DISK_NEEDED_GB:.0f} GB, or set STOCKML_HOME"
    yield Check("home", "problem" if advice else "ok", found, advice)


def key(home: HomePaths, environ: Mapping[str, str], now: datetime) -> Iterator[Check]:
    """Check the key's form, and count its requests left; without one, say where it goes."""
    prices, value = IN_WORDS[kind_here(home, environ)], environ.get("ALPHAVANTAGE_API_KEY", "")
    if not value:
        advice = (
            "set it (free at alphavantage.co), or Prefect's Secret block `alphavantage-api-key`"
        )
        yield Check("key", "ok", f"no ALPHAVANTAGE_API_KEY; {prices}", advice)
    elif fault := "the demo key" if value == "demo" else ApiKey(value.strip()).fault:
        yield Check("key", "problem", fault, "copy your own from alphavantage.co/support/#api-key")
    else:
        # requests count today, even if the clock is a replay's
        today = datetime.now(UTC) if is_frozen(environ) else now
        left = QuotaLedger.of(FileNotes(home.quota), value, Plan.of(environ)).remaining(today)
        requests = "no daily cap" if left is None else f"{quantity(left, 'request')} left today"
        yield Check("key", "ok", f"set, {requests}; {prices}")


def price_service(home: HomePaths, environ: Mapping[str, str]) -> Iterator[Check]:
    """Check that the provider accepts connections; sends no request, so none is used up."""
    if not environ.get("ALPHAVANTAGE_URL") and plays_recorded(home, environ):
        return
    url = AlphaVantage.address_in(environ)
    address = "{}:{}".format(*connection.host_and_port(url))
    if fault := connection.connection_fault(url):
        found, advice = f"{address}: {fault}", "check the network, a proxy, ALPHAVANTAGE_URL"
        yield Check("price service", "problem", found, advice)
    else:
        yield Check("price service", "ok", f"{address} answers")


def prefect(home: HomePaths, environ: Mapping[str, str]) -> Iterator[Check]:
    """Check that Prefect answers, and that its notices are taken."""
    try:
        address = prefect_api.configured_api(
            home, environ, timeout_s=3
        ) or prefect_api.running_server(home)
    except ServerUnavailable as away:
        yield Check("Prefect", "problem", f"{away.address}: {away.found}", away.advice)
        return
    file = home.prefect / "prefect.db"
    if not home.database and (fault := database_fault(file)):
        yield Check("Prefect", "problem", f"{file}: {fault}", DAMAGED)
    elif not address:
        yield Check("Prefect", "ok", "not up; commands start a server of their own")
    elif prefect_api.rejects_password(address, environ, home):
        yield Check("Prefect", "problem", f"{address} expects another password", SET_PASSWORD)
    else:
        yield Check("Prefect", "ok", f"{address} answers")
        yield from notices(home)


def database_fault(path: Path) -> str | None:
    """Why an SQLite file cannot be read; None if it can, is in use, or is not there yet."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(path, timeout=1)) as database:
            tables = database.execute("SELECT name FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        return None if "locked" in str(error) else str(error)
    return None if tables else "an empty file"


def notices(home: HomePaths) -> Iterator[Check]:
    """Name a notice of failed runs that its receiver refused."""
    with prefect_api.client_if_up(home) as client:
        if client is None:
            return
        from deployments.registration.automations import TAKE_NOTICES, refused_notice

        if notice := refused_notice(client, datetime.now(UTC)):
            yield Check("notices", "problem", notice, TAKE_NOTICES)


def mlflow(home: HomePaths) -> Iterator[Check]:
    """Check that MLflow's server or database answers, and that the installed MLflow can read it."""
    uri, fault = home.tracking_uri, None
    variable = "STOCKML_DATABASE_URL" if uri == home.mlflow_database else "MLFLOW_TRACKING_URI"
    advice = f"start it, or check {variable}; nights are kept and logged on the next run"
    if uri.startswith(connection.SQLITE):
        file, advice = Path(uri.removeprefix(connection.SQLITE)), DAMAGED
        if not (fault := database_fault(file)) and file.exists():
            Tracking(home).check()
    elif uri.startswith("postgres"):
        fault = connection.postgres_fault(uri)
    elif connection.is_server(uri):
        try:
            with Tracking(home).client() as client:
                client.search_experiments(max_results=1)
        except TrackingUnavailable as away:
            fault = away.why
    shown = connection.without_password(uri)
    if fault:
        yield Check("MLflow", "problem", f"{shown}: {fault}", advice)
    else:
        yield Check("MLflow", "ok", shown)


def tickers(home: HomePaths, now: datetime) -> Iterator[Check]:
    """Check the list, and each ticker's store, ledger and champion; report its newest bar's age."""
    yield from (Check("rename", "problem", str(each)) for each in interrupted_renames(home))
    # a ticker may have forecasts or a champion although its bars are gone
    names = {*BarStore.of(home).tickers(), *known_tickers(home), *promoted_tickers(home)}
    # without a list of its own, nights are by hand, and all are followed
    listed = tickers_of(home).tickers if home.tickers.exists() else ()
    calendars = {each.ticker: each.calendar for each in listed} or dict.fromkeys(names)
    for name in sorted(names):
        yield from guarded(name, _ticker(home, name, calendars, now))


def _ticker(
    home: HomePaths, name: str, calendars: Mapping[str, str | None], now: datetime
) -> Iterator[Check]:
    store, ledger = store_of(home, name, calendars.get(name)), Ledger(home.ledger)
    forecasts = int(ledger.steps(name)["key"].nunique())
    if champion := Registry(home.models).champion(name):
        check_intact(name, champion.path, champion.sha256)
    if champion and not forecasts:
        yield Check(name, "problem", f"{ledger.file(name)}: no forecasts, as it had", DAMAGED)
        return
    view = store.view(name)
    sessions, last = store.sessions(name), view.bars.index[-1].date()
    age = sessions.age(last, now)
    found = (
        f"{len(view.bars):,} sessions to {last}, {quantity(age, 'session')} behind, "
        f"{quantity(forecasts, 'forecast')}, {len(view.holes(sessions))} without a bar"
    )
    if name not in calendars:
        yield Check(name, "ok", f"{found}, not followed")
    elif age > OLD_AGE:
        delisted = delisted_status(home, name, sessions.last_final(now))
        yield Check(name, "problem", found, str(delisted or f"`stockml nightly {name}`"))
    else:
        yield Check(name, "ok", found)


def stored_files(home: HomePaths) -> Iterator[Check]:
    """Check that pretrained networks and night records are as they were written."""
    networks = ((read, home.pretrained.rglob(kind.pattern)) for kind in KINDS.values())
    records = ((check_night, home.nights.glob(f"{t}/*/night.json")) for t in known_tickers(home))
    for check, files in (*networks, *records):
        for file in sorted(files):
            try:
                check(file)
            except (StockmlError, OSError) as fault:
                yield Check("stored files", "problem", refused(fault))
