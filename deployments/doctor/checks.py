"""Checks of the installation: Python, the home, the key, servers and ports; then those of the
stored files."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from platform import python_version
from shlex import quote

from deployments.doctor import services, stored
from deployments.doctor.check import Check, guarded
from deployments.registration.ticker_list import tickers_of
from deployments.registration.tickers_file import digest_time
from stockml.clock import is_frozen, shown
from stockml.errors import StockmlError, quantity
from stockml.home import HomePaths
from stockml.prices.calendar import LAST_DAY, sessions_for
from stockml.provider.client import AlphaVantage
from stockml.provider.price_source import kind_here, plays_recorded
from stockml.provider.quota import Plan, QuotaLedger, noted_turns
from stockml.redaction import ApiKey
from stockml.storage.documents import FileNotes
from stockml.storage.os_errors import check_home, closed_to_us
from stockml.storage.sqlite_files import fault_of
from stockml.tracking.connection import connection_fault, host_and_port

DISK_NEEDED_GB = 2.0
RELEASED = datetime(2026, 11, 24, tzinfo=UTC)


def examine(
    home: HomePaths, environ: Mapping[str, str], now: datetime, ports: Mapping[str, int]
) -> Iterator[Check]:
    """Yield all checks, in the order to fix problems in. now: timezone-aware; ports: by server
    name."""
    yield Check("Python", "ok", python_version())
    yield from services.versions()
    yield home_folder(home)
    yield from guarded("home", check_home, home)
    yield from rights(home)
    yield from guarded("prices", prices, home, environ)
    yield key(home, environ)
    yield from databases(home)
    yield from guarded("quota", quota, home, environ, now)
    yield from guarded("price service", price_service, home, environ)
    yield clock(now, environ)
    yield from guarded("digest", digest, environ)
    yield from guarded("Prefect", services.prefect, home, environ)
    yield (tracking := services.mlflow(home))
    yield from guarded("pages", services.pages, home, environ, ports)
    yield from guarded("webhook", services.webhook, environ)
    yield from services.prefect_nights(home)
    yield from stored.tickers(home, now, replay=bool(environ.get("STOCKML_CLOCK")))
    yield from stored.settings(home)
    yield from stored.nights(home)
    if tracking.verdict == "ok":
        yield from stored.tracked(home)


def home_folder(home: HomePaths) -> Check:
    folder = _nearest(home.root)
    free_gb = shutil.disk_usage(folder).free / 1e9
    found = f"{home.root}, {free_gb:.1f} GB free"
    if not os.access(folder, os.W_OK):
        return Check(
            "home",
            "problem",
            found,
            "it cannot be written: correct its rights, or set STOCKML_HOME",
        )
    if free_gb < DISK_NEEDED_GB:
        return Check(
            "home", "problem", found, f"free at least {DISK_NEEDED_GB:.0f} GB, or set STOCKML_HOME"
        )
    return Check("home", "ok", found if home.root.exists() else f"{found}, not made yet")


def _nearest(folder: Path) -> Path:
    """The folder, or its nearest parent that exists."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def rights(home: HomePaths) -> Iterator[Check]:
    """Check that the home is private."""
    if not home.root.exists():
        return
    if home.root.stat().st_mode & 0o077:
        found, advice = (
            f"{home.root} is open to others on this machine",
            f"`chmod go= {quote(str(home.root))}`",
        )
        yield Check("rights", "problem" if home.in_use else "note", found, advice)
        return
    if closed := next(closed_to_us(home.root), None):
        found = f"{closed} may not be read and written by this user, as after `sudo stockml`"
        advice = (
            f"`sudo chown -R $(id -un): {quote(str(home.root))}; chmod -R u+rwX "
            f"{quote(str(home.root))}`"
        )
        yield Check("rights", "problem", found, advice)
        return
    yield Check("rights", "ok", "the home is for its owner only")


def databases(home: HomePaths) -> Iterator[Check]:
    """The servers' own databases, where they are files of the home."""
    for file, table in (
        (home.prefect / "prefect.db", "flow_run"),
        (home.root / "mlflow.db", "experiments"),
    ):
        if not home.database and file.exists() and (fault := fault_of(file, table)):
            advice = "restore it from a backup, or move it away"
            if fault == "disk I/O error":
                advice = "see that its disk has room, and is sound"
            yield Check(file.name, "problem", f"{file}: {fault}", advice)


def prices(home: HomePaths, environ: Mapping[str, str]) -> Check:
    return Check(
        "prices", "ok", "recorded ones" if kind_here(home, environ) == "replay" else "the market's"
    )


def key(home: HomePaths, environ: Mapping[str, str]) -> Check:
    value = environ.get("ALPHAVANTAGE_API_KEY")
    if not value:
        advice = (
            "set it, or save it as Prefect's Secret block `alphavantage-api-key`, which runs "
            "then take it from"
        )
        if _plays_recorded(home, environ):
            advice = (
                "recorded prices are played; for your own tickers set ALPHAVANTAGE_API_KEY (free "
                "at alphavantage.co)"
            )
        return Check("key", "note", "no ALPHAVANTAGE_API_KEY", advice)
    if value == "demo":
        return Check(
            "key",
            "problem",
            "the demo key",
            "get one of your own at alphavantage.co/support/#api-key",
        )
    if fault := ApiKey(value.strip()).fault:
        return Check(
            "key",
            "problem",
            fault,
            "copy ALPHAVANTAGE_API_KEY again: your own, letters and digits only",
        )
    return Check("key", "ok", f"set, plan {environ.get('ALPHAVANTAGE_PLAN') or 'free'}")


def _plays_recorded(home: HomePaths, environ: Mapping[str, str]) -> bool:
    with suppress(StockmlError):  # the home's kind of prices is unreadable, as `prices` reports
        return plays_recorded(home, environ)
    return False


def quota(home: HomePaths, environ: Mapping[str, str], now: datetime) -> Check | None:
    notes = FileNotes(home.quota)
    noted_turns(notes, now)  # a night reads this too: raises if damaged
    if not (api_key := environ.get("ALPHAVANTAGE_API_KEY")):
        return None
    plan = Plan.of(environ)
    ledger = QuotaLedger.of(notes, api_key, plan)
    # requests count today, even if the clock is a replay's
    now = datetime.now(UTC) if is_frozen(environ) else now
    left = ledger.remaining(now)
    ledger.next_slot(now)  # also reads the day before: raises if damaged
    requests_left = "no daily cap" if left is None else f"{quantity(left, 'request')} left today"
    if left == 0:
        return Check(
            "quota", "note", "today's requests are used up", "nights are caught up after the reset"
        )
    with suppress(StockmlError):  # `list of tickers` reports it
        if shared := plan.shared_by(len(tickers_of(home).tickers)):
            return Check("quota", "note", requests_left, shared)
    return Check("quota", "ok", requests_left)


def price_service(home: HomePaths, environ: Mapping[str, str]) -> Check:
    """Check that the provider accepts connections; sends no request, so none is used up."""
    if not environ.get("ALPHAVANTAGE_URL") and _plays_recorded(home, environ):
        return Check("price service", "ok", "the replay feed, started when needed")
    url = AlphaVantage.address_in(environ)
    address = "{}:{}".format(*host_and_port(url))
    if fault := connection_fault(url):
        return Check(
            "price service",
            "problem",
            f"{address}: {fault}",
            "check the network, a proxy, ALPHAVANTAGE_URL",
        )
    return Check("price service", "ok", f"{address} answers")


def clock(now: datetime, environ: Mapping[str, str]) -> Check:
    exchange, local = sessions_for("IBM"), shown(now)
    if environ.get("STOCKML_CLOCK"):
        return Check("clock", "ok", f"{local}, where a replay's clock stands")
    if now < RELEASED or now.date() > LAST_DAY:
        return Check(
            "clock",
            "problem",
            local,
            f"this program knows {RELEASED:%Y-%m-%d} to {LAST_DAY}: set the clock",
        )
    return Check("clock", "ok", f"{local}, newest final session {exchange.last_final(now)}")


def digest(environ: Mapping[str, str]) -> Check:
    return Check(
        "digest",
        "ok",
        f"missing forecasts are reported at {digest_time(environ):%H:%M} in New York",
    )
