"""Checks of the servers: their versions, Prefect, MLflow, the pages' ports, where notices go."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deployments.doctor.check import Check, guarded
from deployments.errors import PortTaken, ServerUnavailable
from deployments.registration import MANAGED
from deployments.registration.ticker_list import tickers_of
from deployments.registration.tickers_file import TickerEntry
from deployments.servers.access import PASSWORD, SET_PASSWORD, Access, check_port
from deployments.servers.prefect_api import (
    client_if_up,
    configured_api,
    rejects_password,
    running_server,
)
from deployments.servers.versions import wrong_versions
from stockml.code_version import in_words, number_libraries
from stockml.errors import StockmlError, TrackingUnavailable
from stockml.home import LOOPBACK, HomePaths
from stockml.tracking.client import Tracking
from stockml.tracking.connection import SQLITE, connection_fault, postgres_fault, without_password

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

MAX_NAMED = 8  # tickers in a line


def versions() -> Iterator[Check]:
    for wrong in wrong_versions():
        found, _, advice = str(wrong).partition("; ")
        yield Check(wrong.name, "problem", found, advice)


def prefect(home: HomePaths, environ: Mapping[str, str]) -> Check:
    try:
        address = configured_api(home, environ, timeout_s=3) or running_server(home)
    except ServerUnavailable as away:
        return Check("Prefect", "problem", f"{away.address}: {away.found}", away.advice)
    if address:
        if rejects_password(address, environ, home):
            return Check(
                "Prefect",
                "problem",
                f"{address} expects a password, found none or a wrong one",
                SET_PASSWORD,
            )
        return Check("Prefect", "ok", f"{address} answers")
    if home.servers.exists():
        leftover = f"{home.servers} is left from a server that is gone"
        return Check(
            "Prefect", "note", leftover, "start `stockml up`, or what else served it, again"
        )
    return Check("Prefect", "ok", "not up; commands start a server of their own")


def mlflow(home: HomePaths) -> Check:
    scheme, shown = urlsplit(home.tracking_uri).scheme, without_password(home.tracking_uri)
    if scheme == "sqlite":
        is_there = Path(home.tracking_uri.removeprefix(SQLITE)).exists()
        is_served = home.tracking_uri == home.mlflow_database and home.server("mlflow")
        if is_served and not is_there and running_server(home):
            found = (
                f"{shown} was removed, and the MLflow of `stockml up` writes on into the removed "
                "file"
            )
            return Check("MLflow", "problem", found, "start `stockml up` again")
        if not is_there and any(home.nights.glob("*/*/night.json")):
            return Check(
                "MLflow", "note", f"{shown} is not there, and nights are", "it is made anew"
            )
        return Check("MLflow", "ok", shown)
    # Databricks, or what a plugin reaches
    if not scheme.startswith(("http", "postgres", "mysql", "mssql")):
        return Check("MLflow", "note", f"{shown}, which only nights ask")
    if fault := mlflow_fault(home):
        names = (
            "MLFLOW_TRACKING_URI, and MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD if "
            "it asks for them"
        )
        variables = "STOCKML_DATABASE_URL" if home.tracking_uri == home.mlflow_database else names
        advice = f"start it, or check {variables}; nights are kept and logged on the next run"
        return Check("MLflow", "problem", f"{shown}: {fault}", advice)
    return Check("MLflow", "ok", f"{shown} answers")


def mlflow_fault(home: HomePaths) -> OSError | str | None:
    """Why MLflow does not answer, or refuses us; for a database, why it takes no connection. None
    if all is well."""
    parts = urlsplit(home.tracking_uri)
    try:
        if parts.scheme.startswith("postgres"):
            return postgres_fault(home.tracking_uri)
        if parts.scheme not in ("http", "https"):
            return connection_fault(home.tracking_uri)
        with Tracking(home).client() as client:
            client.search_experiments(max_results=1)
    except TrackingUnavailable as away:
        return away.why
    return None


def pages(home: HomePaths, environ: Mapping[str, str], ports: Mapping[str, int]) -> Iterator[Check]:
    """Where the pages are, or would be, and whether they ask for a password (running ones are
    asked)."""
    access, protected = Access.of(environ), None
    if api := running_server(home):
        found = ", ".join(filter(None, map(home.server, ("prefect", "mlflow"))))
        listening, protected = home.server("address"), rejects_password(api, {}, home)
        found += f", on {listening}" if listening not in (None, *LOOPBACK) else ""
    else:
        found, protected = f"on {access.address}", bool(access.password)
    shared = f"where this machine has other users, they can start runs too until {PASSWORD} is set"
    if found:  # a worker alone has none
        asks = "" if protected is None else f", {'with a' if protected else 'without a'} password"
        yield Check("pages", "ok", f"{found}{asks}", shared if protected is False else "")
    began, here = home.server("version") or "an earlier version", in_words()
    # the commit may be of a text
    if api and found and not here.startswith(began.partition(",")[0].rstrip(")")):
        yield Check(
            "code",
            "note",
            f"`stockml up` runs {began}, this is {here}",
            "stop it and start it again",
        )
    theirs, ours = {*(home.server("libraries") or "").split()}, {*number_libraries()}
    if api and theirs - ours:
        found = (
            f"`stockml up` has {', '.join(sorted(theirs - ours))}, this has "
            f"{', '.join(sorted(ours - theirs))}"
        )
        yield Check(
            "libraries",
            "note",
            found,
            "run both in one environment: each would train the other's nights anew",
        )
    for name, number in () if api else ports.items():
        yield from guarded(f"port {number}", port, name, number, access.address)


def port(name: str, number: int, address: str) -> Check:
    try:
        check_port(name, number, f"--{name.lower()}-port", address)
    except PortTaken as error:
        return Check(f"port {number}", "note", str(error))
    return Check(f"port {number}", "ok", f"free for {name}")


def webhook(environ: Mapping[str, str]) -> Check | None:
    if not (url := environ.get("STOCKML_WEBHOOK_URL")):
        return None
    from deployments.registration.automations import webhook_address

    webhook_address(url)
    return Check(
        "webhook", "ok", "STOCKML_WEBHOOK_URL gets failures, from the next `stockml up` on"
    )


def prefect_nights(home: HomePaths) -> Iterator[Check]:
    """Check that notices are taken, and that Prefect runs the nights of the listed tickers and no
    others."""
    # `prefect` and `list of tickers` report these
    with (
        suppress(StockmlError),
        client_if_up(home) as client,
    ):
        if client is None:
            return
        from deployments.registration.automations import TAKE_NOTICES, refused_notice
        from tasks.run_records import NIGHTS, REFUSALS, paginated

        with suppress(*REFUSALS):
            if notice := refused_notice(client, datetime.now(UTC)):
                yield Check("notices", "problem", notice, TAKE_NOTICES)
        entries = tickers_of(home).tickers
        listed = {entry.ticker for entry in entries}
        with suppress(*REFUSALS):
            nights = tuple(paginated(client.read_deployments, flow_filter=NIGHTS))
            ours = {
                each.name for each in nights if MANAGED in each.tags and "ticker" in each.parameters
            }
            # Kubernetes' jobs count
            missing = listed.difference(each.parameters.get("ticker") for each in nights)
            # registered after the nights: a command may have been killed in between
            outdated = {
                ticker
                for names in _old_lists(client, entries)
                for ticker in (listed & ours) - names | names - listed
            }
            if differ := sorted(missing | ours - listed | outdated):
                more = f" and {len(differ) - MAX_NAMED} more" if len(differ) > MAX_NAMED else ""
                found = (
                    "Prefect's nights and the list of tickers differ in "
                    f"{', '.join(differ[:MAX_NAMED])}{more}"
                )
                yield Check(
                    "deployments", "note", found, "`stockml up`, started again, updates Prefect"
                )


def _old_lists(client: "SyncPrefectClient", entries: Sequence[TickerEntry]) -> Iterator[set[str]]:
    """The tickers of each deployment of many that is not as this list makes it; none for a missing
    one."""
    from prefect.client.schemas.filters import DeploymentFilter

    from deployments.registration.prefect_deployments import other_deployments, spec_of
    from deployments.registration.tickers_file import digest_time
    from tasks.run_records import paginated

    specs = [
        each
        for each in other_deployments(entries, digest_time(os.environ))
        if "tickers" in each.parameters
    ]
    by_name = DeploymentFilter.model_validate({"name": {"any_": [each.name for each in specs]}})
    existing = {
        each.name: each for each in paginated(client.read_deployments, deployment_filter=by_name)
    }
    for each in specs:
        current = existing.get(each.name)
        # else a person chose others, in the page
        if current is None or current.version != spec_of(each)["version"]:
            yield {*current.parameters.get("tickers", ())} if current else set()
