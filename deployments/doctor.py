"""`stockml doctor`: read-only checks for what could make tonight's run fail, each with its
remedy."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Literal
from urllib.parse import urlsplit

from deployments.errors import ServerUnavailable
from deployments.registration import MANAGED
from deployments.registration.ticker_list import own_calendars, tickers_of
from deployments.servers.access import SET_PASSWORD
from deployments.servers.prefect_api import (
    client_if_up,
    configured_api,
    rejects_password,
    running_server,
    wrong_versions,
)
from stockml.clock import is_frozen
from stockml.code_version import in_words
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
from stockml.provider.client import AlphaVantage
from stockml.provider.price_source import IN_WORDS, kind_here, plays_recorded
from stockml.provider.quota import Plan, QuotaLedger, noted_turns
from stockml.redaction import ApiKey
from stockml.settings import AgeingSettings
from stockml.storage.locks import FileNotes, interrupted_renames
from stockml.storage.os_errors import check_home, closed_to_us, refused
from stockml.tracking.client import Tracking
from stockml.tracking.connection import (
    SQLITE,
    connection_fault,
    host_and_port,
    is_server,
    postgres_fault,
    without_password,
)
from stockml.training.tuned_settings import tuned_settings

DISK_NEEDED_GB = 2.0
MAX_NAMED = 8  # tickers in a line
OLD_AGE = AgeingSettings().stale_bars
DAMAGED = "restore it from a backup, or move it away"
MLFLOW_SETTINGS = (
    "MLFLOW_TRACKING_URI, and MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD if it asks "
    "for them"
)


@dataclass(frozen=True)
class Check:
    """The result of one check; `advice` says what to do, and is empty if nothing needs doing."""

    name: str
    verdict: Literal["ok", "note", "problem"]
    found: str
    advice: str = ""

    def __str__(self) -> str:
        mark = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}[self.verdict]
        return f"{mark} {self.name}: {self.found}" + (f"; {self.advice}" if self.advice else "")


def examine(home: HomePaths, environ: Mapping[str, str], now: datetime) -> Iterator[Check]:
    """Yield all checks, in the order to fix problems in. now: timezone-aware."""
    checks = {
        "versions": versions(),
        "home": home_folder(home),
        "key": key(home, environ),
        "quota": quota(home, environ, now),
        "price service": price_service(home, environ),
        "Prefect": prefect(home, environ),
        "MLflow": mlflow(home),
        "list of tickers": list_of_tickers(home),
        "store": tickers(home, now),
        "settings": settings(home),
        "nights": nights(home),
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
    for wrong in wrong_versions():
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


def key(home: HomePaths, environ: Mapping[str, str]) -> Iterator[Check]:
    """Check the key's form; without one, say where it goes. Raises if the home's kind of prices
    cannot be read."""
    prices, value = IN_WORDS[kind_here(home, environ)], environ.get("ALPHAVANTAGE_API_KEY", "")
    if value:
        fault = "the demo key" if value == "demo" else ApiKey(value.strip()).fault
        plan = environ.get("ALPHAVANTAGE_PLAN") or "free"
        advice = "copy your own, letters and digits, from alphavantage.co/support/#api-key"
        yield (
            Check("key", "problem", fault, advice)
            if fault
            else Check("key", "ok", f"set, plan {plan}; {prices}")
        )
        return
    advice = (
        "for your own tickers set ALPHAVANTAGE_API_KEY (free at alphavantage.co)"
        if plays_recorded(home, environ)
        else "set it, or save it as Prefect's Secret block `alphavantage-api-key`"
    )
    yield Check("key", "note", f"no ALPHAVANTAGE_API_KEY; {prices}", advice)


def quota(home: HomePaths, environ: Mapping[str, str], now: datetime) -> Iterator[Check]:
    """Count the requests left. Raises if a file that a night reads for it is damaged."""
    notes = FileNotes(home.quota)
    noted_turns(notes, now)
    if not (api_key := environ.get("ALPHAVANTAGE_API_KEY")):
        return
    ledger = QuotaLedger.of(notes, api_key, Plan.of(environ))
    # requests count today, even if the clock is a replay's
    now = datetime.now(UTC) if is_frozen(environ) else now
    left = ledger.remaining(now)
    ledger.next_slot(now)  # also reads the day before
    if left == 0:
        yield Check("quota", "note", "no request left today", "nights are caught up tomorrow")
        return
    found = "no daily cap" if left is None else f"{quantity(left, 'request')} left today"
    yield Check("quota", "ok", found)


def price_service(home: HomePaths, environ: Mapping[str, str]) -> Iterator[Check]:
    """Check that the provider accepts connections; sends no request, so none is used up."""
    if not environ.get("ALPHAVANTAGE_URL") and plays_recorded(home, environ):
        return
    url = AlphaVantage.address_in(environ)
    address = "{}:{}".format(*host_and_port(url))
    if fault := connection_fault(url):
        advice = "check the network, a proxy, ALPHAVANTAGE_URL"
        yield Check("price service", "problem", f"{address}: {fault}", advice)
        return
    yield Check("price service", "ok", f"{address} answers")


def prefect(home: HomePaths, environ: Mapping[str, str]) -> Iterator[Check]:
    """Check that Prefect answers, is of this version of the code, and runs the nights of the
    list."""
    file = home.prefect / "prefect.db"
    if not home.database and (fault := database_fault(file, "flow_run")):
        yield Check("Prefect", "problem", f"{file}: {fault}", DAMAGED)
        return
    try:
        address = configured_api(home, environ, timeout_s=3) or running_server(home)
    except ServerUnavailable as away:
        yield Check("Prefect", "problem", f"{away.address}: {away.found}", away.advice)
        return
    if not address:
        yield Check("Prefect", "ok", "not up; commands start a server of their own")
        return
    if rejects_password(address, environ, home):
        found = f"{address} expects a password, found none or a wrong one"
        yield Check("Prefect", "problem", found, SET_PASSWORD)
        return
    yield Check("Prefect", "ok", f"{address} answers")
    began, here = home.server("version"), in_words()
    # the commit may be of a text
    if began and not here.startswith(began.partition(",")[0].rstrip(")")):
        found = f"`stockml up` runs {began}, this is {here}"
        yield Check("code", "note", found, "stop it and start it again")
    yield from prefect_nights(home)


def prefect_nights(home: HomePaths) -> Iterator[Check]:
    """Check that notices are taken, and that Prefect runs the nights of the listed tickers and no
    others."""
    from tasks.run_records import NIGHTS, REFUSALS, paginated

    # `prefect` and `list_of_tickers` report the former
    with suppress(StockmlError, *REFUSALS), client_if_up(home) as client:
        if client is None:
            return
        from deployments.registration.automations import TAKE_NOTICES, refused_notice

        if notice := refused_notice(client, datetime.now(UTC)):
            yield Check("notices", "problem", notice, TAKE_NOTICES)
        listed = {entry.ticker for entry in tickers_of(home).tickers}
        by_hand, ours = set[str](), set[str]()  # Kubernetes' jobs are the former
        for each in paginated(client.read_deployments, flow_filter=NIGHTS):
            if ticker := each.parameters.get("ticker"):
                (ours if MANAGED in each.tags else by_hand).add(ticker)
        if differ := sorted(listed - by_hand - ours | ours - listed):
            more = f" and {len(differ) - MAX_NAMED} more" if len(differ) > MAX_NAMED else ""
            names = f"{', '.join(differ[:MAX_NAMED])}{more}"
            found = f"Prefect's nights and the list of tickers differ in {names}"
            advice = "`stockml up`, started again, updates Prefect"
            yield Check("deployments", "note", found, advice)


def mlflow(home: HomePaths) -> Iterator[Check]:
    """Check that MLflow's server or database answers, and that the installed MLflow can read it."""
    uri, shown = home.tracking_uri, without_password(home.tracking_uri)
    if uri.startswith(SQLITE):
        file = Path(uri.removeprefix(SQLITE))
        if fault := database_fault(file, "experiments"):
            yield Check("MLflow", "problem", f"{file}: {fault}", DAMAGED)
            return
        if file.exists():
            Tracking(home).check()
        yield Check("MLflow", "ok", shown)
        return
    is_postgres = urlsplit(uri).scheme.startswith("postgres")
    if not (is_postgres or is_server(uri)):  # Databricks, or what a plugin reaches
        yield Check("MLflow", "note", f"{shown}, which only nights ask")
        return
    if fault := postgres_fault(uri) if is_postgres else _server_fault(home):
        variables = "STOCKML_DATABASE_URL" if uri == home.mlflow_database else MLFLOW_SETTINGS
        advice = f"start it, or check {variables}; nights are kept and logged on the next run"
        yield Check("MLflow", "problem", f"{shown}: {fault}", advice)
        return
    yield Check("MLflow", "ok", f"{shown} answers")


def _server_fault(home: HomePaths) -> str | None:
    try:
        with Tracking(home).client() as client:
            client.search_experiments(max_results=1)
    except TrackingUnavailable as away:
        return away.why
    return None


def list_of_tickers(home: HomePaths) -> Iterator[Check]:
    """Raise what is wrong with the list."""
    yield Check("list of tickers", "ok", quantity(len(tickers_of(home).tickers), "ticker"))


def tickers(home: HomePaths, now: datetime) -> Iterator[Check]:
    """Check that each ticker's store, ledger and champion are readable, and report its newest bar's
    age."""
    for half_done in interrupted_renames(home):
        yield Check("rename", "problem", str(half_done))
    # a ticker may have forecasts or a champion although its bars are gone
    names = {*BarStore.of(home).tickers(), *known_tickers(home), *promoted_tickers(home)}
    if not names:
        yield Check("store", "note", "no bars yet", "`stockml nightly TICKER`")
    # without a list of its own, nights are by hand
    listed = own_calendars(home) if home.tickers.exists() else {}
    for name in sorted(names):
        is_followed = name in listed or not listed
        yield from guarded(name, _ticker(home, name, listed.get(name), now, is_followed))


def _ticker(
    home: HomePaths, name: str, calendar: str | None, now: datetime, is_followed: bool
) -> Iterator[Check]:
    store = store_of(home, name, calendar)
    try:
        forecasts = int(Ledger(home.ledger).steps(name)["key"].nunique())
        check_champion(home, name)
        view = store.view(name)
        delisted = delisted_status(home, name, store.sessions(name).last_final(now))
    except NoBars as error:
        yield Check(name, "problem", f"{error.path}: {NO_BARS}", BARS_BACK)
        return
    last, holes = view.bars.index[-1].date(), view.holes(store.sessions(name))
    age = store.sessions(name).age(last, now)
    counts = [
        f"{len(view.bars):,} sessions to {last}",
        quantity(forecasts, "forecast"),
        f"{len(holes)} without a bar" if holes else "",
        f"{len(view.set_aside)} set aside" if view.set_aside else "",
        "" if is_followed else "not followed",
        f"bars {quantity(age, 'session')} behind",
    ]
    advice = f"`stockml bars {name} --holes`" if holes or view.set_aside else ""
    if age > OLD_AGE:
        advice = str(delisted or f"`stockml nightly {name}`")
    advice = advice if is_followed else ""
    yield Check(name, "note" if advice else "ok", ", ".join(filter(None, counts)), advice)


def settings(home: HomePaths) -> Iterator[Check]:
    """Name the tickers with tuned settings. Raises if some cannot be read."""
    if tuned := [name for name in tuned_tickers(home) if tuned_settings(home, name)]:
        yield Check("settings", "ok", f"tuned for {', '.join(tuned)}")


def nights(home: HomePaths) -> Iterator[Check]:
    """Check that pretrained networks and night records are intact and their files exist."""
    for name, faults in {
        "a pretrained network": damaged_vintages,
        "a night": damaged_nights,
        "a night's outcome": missing,
    }.items():
        yield from (Check(name, "problem", fault) for fault in faults(home))
