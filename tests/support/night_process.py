"""Flows in separate processes, to be killed, each forked from a process that has already imported
everything.

Imports take 10 s, a small night 3 s: forking skips the imports, so that 20 attempts stay
affordable.
"""

import gc
import importlib
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock
from mlflow import MlflowClient

from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.models.registry import Registry
from stockml.nights.record import Night, read_night
from stockml.prices.store import BarStore
from stockml.storage.files import sha256_of
from stockml.tracking.client import Tracking

MODULES = {"history": "backfill", "pretrain": "studies", "tune": "studies", "backtest": "studies"}
KILLED = -9


def start_night(home: HomePaths, *, quiet: bool = True, **asked: Any) -> ForkServerProcess:
    """Start the nightly flow with these arguments in this home, on this process's Prefect
    server."""
    return start_flow(home, "nightly", quiet=quiet, **asked)


def start_flow(
    home: HomePaths, flow: str, *, quiet: bool = True, **asked: Any
) -> ForkServerProcess:
    """Start the named flow with these arguments in this home, on this process's Prefect server.

    quiet: send the server neither heartbeats nor logs, which saves a second.
    """
    from prefect.settings import PREFECT_API_URL

    return forked(_run, str(home.root), PREFECT_API_URL.value(), quiet, flow, asked)


def forked(target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Start `target(*arguments)` in a process that has imported everything, with the current
    environment.

    The environment is passed on, as the fork server has that of the first test to need it, database
    address included.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.before_a_night"])
    process = context.Process(target=_as_here, args=(dict(os.environ), target, arguments))
    process.start()
    return process


def _as_here(
    environ: dict[str, str], target: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)  # as in a command's process
    os.environ.clear()
    os.environ.update(environ)
    target(*arguments)


def _run(root: str, api: str, quiet: bool, flow: str, asked: dict[str, Any]) -> None:
    os.environ["STOCKML_HOME"] = root
    with reporting(api, quiet):
        getattr(importlib.import_module(f"flows.{MODULES.get(flow, flow)}"), flow)(**asked)


@contextmanager
def reporting(api: str, quiet: bool) -> Iterator[None]:
    """Record this process's runs on the server at `api`; quiet as in `start_flow`."""
    from prefect.context import _temporary_global_settings_context, get_settings_context
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOGGING_TO_API_ENABLED,
        temporary_settings,
    )

    loud = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: 30, PREFECT_LOGGING_TO_API_ENABLED: True}
    reports = (
        {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_LOGGING_TO_API_ENABLED: False}
        if quiet
        else loud
    )
    server = temporary_settings({PREFECT_API_URL: api, **reports})
    with server, _temporary_global_settings_context(get_settings_context()):  # for all threads
        yield


def copied(home: HomePaths, folder: Path) -> HomePaths:
    """Copy the home to another folder; no file in it may contain its path yet."""
    shutil.copytree(home.root, folder)
    return home_of({"STOCKML_HOME": str(folder)})


@dataclass(frozen=True)
class Standing:
    """The results of a night, without times, which differ from attempt to attempt."""

    bars: str
    rows: int
    nights: tuple[tuple[str, str, str], ...]
    runs: tuple[tuple[str, str], ...]
    versions: tuple[str, ...]
    entries: tuple[str, ...]
    promotions: tuple[str, ...]
    waiting: int


def standing(home: HomePaths, ticker: str = "IBM") -> Standing:
    """Collect the store's bars and rows, the nights' keys and models, and what MLflow, ledger and
    history have."""
    table = pd.read_parquet(BarStore.of(home).path(ticker)).drop(columns="recorded_at")
    client = MlflowClient(home.tracking_uri)
    found = client.get_experiment_by_name(f"stockml/{ticker}")
    runs = client.search_runs([found.experiment_id]) if found else []
    versions = client.search_model_versions(f"name = 'lstm-{ticker}'")
    return Standing(
        bars=str(pd.util.hash_pandas_object(table, index=False).sum()),
        rows=len(table),
        nights=tuple(
            (night.key, night.mode, night.model_sha256 or "") for night in nights(home, ticker)
        ),
        runs=tuple(sorted((run.data.tags["stockml.key"], run.info.status) for run in runs)),
        versions=tuple(sorted(version.tags["stockml.key"] for version in versions)),
        entries=tuple(entry.key for entry in Ledger(home.ledger).entries(ticker)),
        promotions=tuple(line.key for line in Registry(home.models).history(ticker)),
        waiting=len(Tracking(home).pending()),
    )


def nights(home: HomePaths, ticker: str = "IBM") -> list[Night]:
    """The records of the ticker's nights, oldest first."""
    kept = [read_night(path) for path in home.nights.glob(f"{ticker}/*/night.json")]
    return sorted(kept, key=lambda night: night.session)


def stored(home: HomePaths, ticker: str = "IBM") -> str | None:
    """The hash of the ticker's file in the store."""
    return sha256_of(BarStore.of(home).path(ticker))


def held_locks(home: HomePaths) -> Iterable[Path]:
    """Yield the lock files under the home that a process holds."""
    for path in home.root.rglob("*.lock"):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except TimeoutError:
            yield path
        else:
            lock.release()
