"""A universe on the user's own Dask scheduler: workers of another home get no night, whenever they join."""

import gc
import json
import logging
import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path
from stat import S_IMODE
from threading import Lock
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import psutil
import pytest
from distributed import Client, LocalCluster
from distributed.security import Security
from prefect import flow, task
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import State

from deployments.replay.feed import Asked
from flows.cluster import SameWorkplace, check_room, workers
from flows.universe import night_of, universe
from stockml.errors import InvalidSetting, WorkerMismatch
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from tasks.artifacts import row_of
from tasks.workplace import identified_worker
from tests.support.loopback import Exchange, Loopback, whole
from tests.support.patience import PATIENCE_S
from tests.support.replaying import SMALL, THURSDAY, fill, use
from tests.support.scripted_feed import ScriptedFeed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scheduler() -> Iterator[LocalCluster]:
    """A Dask scheduler on the loopback that has no workers of its own."""
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as running:
        yield running


@contextmanager
def worker(scheduler: LocalCluster, home: Path, **environ: str) -> "Iterator[subprocess.Popen[bytes]]":
    """`dask worker` as a person starts it, with this STOCKML_HOME."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler.scheduler_address]
    environ = {"PYTHONPATH": str(ROOT)} | environ
    command += ["--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard"]
    whole = {**os.environ, "STOCKML_HOME": str(home), **environ}
    process = subprocess.Popen(command, env=whole, cwd=home.parent, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return tmp_path / "other"


def run(scheduler: LocalCluster, tickers: list[str], **changes: Any) -> State:
    wanted = {"session": THURSDAY, "settings": SMALL, "late_retries": 0} | changes
    return universe(tickers, dask_address=scheduler.scheduler_address, return_state=True, **wanted)


def test_a_worker_of_another_home_ends_the_run_before_it_begins(
    home: HomePaths, other: Path, feed: ScriptedFeed, scheduler: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(feed, monkeypatch)
    feed.set_clock(THURSDAY)
    fill(home, ["IBM"])
    with worker(scheduler, other) as started:
        scheduler.wait_for_workers(1, PATIENCE_S)
        state = run(scheduler, ["IBM"])
        assert started.poll() is None, "the worker is left to its owner"
    assert state.is_failed()
    assert isinstance(state.result(raise_on_failure=False), WorkerMismatch)
    assert f"STOCKML_HOME: expected {home.root}, found {other}" in str(state.message)
    assert feed.requests == 0
    assert not other.exists()
    assert [path.name for path in home.locks.glob("*.mark")] == []


@task(persist_result=False)
def settings_found() -> int:
    return PREFECT_CLIENT_MAX_RETRIES.value()


@flow
def settings_of_a_worker(address: str) -> tuple[int, int]:
    """Its retries, and after how many new objects it looks for garbage."""
    with workers(address, 1, 1.0) as runner:
        [(new_objects, *_)] = runner.client.run(gc.get_threshold).values()
        return runner.submit(settings_found, {}).result(), new_objects


def imported_from() -> set[str]:
    return {*sys.path}


@flow
def doors_of_local_workers() -> tuple[str, list[int], list[int]]:
    """The scheduler's address; what every port answers that a universe opens, where a stranger is let in nowhere; the
    rights to the folders that Dask has it and its workers import from.
    """
    before = imported_from()
    with workers(None, 1, 1.0) as runner:
        address = str(runner.client.scheduler_info()["address"])
        imported = [imported_from() - before, *runner.client.run(imported_from).values()]
        scratch = [folder.partition("/dask-scratch")[0] for folder in set().union(*imported) if "/dask-s" in folder]
        rights = [S_IMODE(os.stat(folder).st_mode) for folder in scratch]
        place = address.partition("://")[2]
        strangers = (f"tcp://{place}", None), (f"tls://{place}", Security.temporary())
        for asked, certificate in strangers:
            with pytest.raises(OSError, match=r"Connection|connect|certificate"):
                Client(asked, security=certificate, timeout=2, set_as_default=False)
        answers = [answered(port) for port in open_ports() if port != int(place.rpartition(":")[2])]
        return address, answers, rights


def open_ports() -> set[int]:
    """Of this process and its workers."""
    own = psutil.Process()
    family = [own, *(child for child in own.children(recursive=True) if "spawn" in " ".join(child.cmdline()))]
    return {held.laddr.port for each in family for held in each.net_connections("tcp") if held.status == "LISTEN"}


def answered(port: int) -> int:
    """The status that a browser gets; 0 if it is not understood."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=PATIENCE_S) as reply:
            return int(reply.status)
    except HTTPError as refused:
        return refused.code
    except (OSError, HTTPException):
        return 0


@pytest.mark.usefixtures("home")
def test_another_user_of_this_machine_gets_no_answer_from_a_universe_and_can_put_no_code_in_its_path() -> None:
    """Whoever could do either would run code as the user whose universe it is."""
    address, answers, rights = doors_of_local_workers()
    assert address.startswith("tls://127.0.0.1:")
    assert set(answers) <= {0, 404}
    assert set(rights) == {0o700}


def test_a_limit_of_open_files_that_is_too_low_for_the_workers_is_named_before_they_start() -> None:
    """Dask hung under `ulimit -n 64`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        with pytest.raises(InvalidSetting, match=r"limit of open files to be at least 88 .*ulimit -n 1024.*found 64"):
            check_room(2)
        resource.setrlimit(resource.RLIMIT_NOFILE, (88, hard))
        check_room(2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_worker_takes_its_settings_from_the_run(home: HomePaths, scheduler: LocalCluster) -> None:
    """Not from its own environment. It joins once the run says that it waits, and looks for garbage as rarely as
    a command: 700 new objects are Python's default, a fifth of the CPU time of what a night imports.
    """
    log, asked_for = logging.getLogger("prefect.flow_runs"), temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 7})
    with ExitStack() as joined, asked_for:

        def join(record: logging.LogRecord) -> bool:
            if record.getMessage() == f"no worker at {scheduler.scheduler_address} yet; waiting for one":
                joined.enter_context(worker(scheduler, home.root, PREFECT_CLIENT_MAX_RETRIES="1"))
            return True

        log.addFilter(join)
        joined.callback(log.removeFilter, join)
        found = settings_of_a_worker.with_options(timeout_seconds=PATIENCE_S)  # or nobody joins, if nothing is said
        assert found(scheduler.scheduler_address) == (7, 100_000)


@pytest.mark.usefixtures("with_tables")
def test_a_foreign_worker_that_joins_later_is_sent_away_and_the_run_goes_on_without_it(
    home: HomePaths, other: Path, scheduler: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It joins while the run's first request is open and nights wait for a worker; then it is gone."""
    ended: list[int] = []
    one_at_a_time = Lock()  # on a slow machine the client asks again meanwhile

    def let_one_join(asked: Asked) -> None:
        with one_at_a_time:
            if not ended:
                join()

    def join() -> None:
        with worker(scheduler, other) as joining:
            ended.append(joining.wait(PATIENCE_S))

    tickers = {"T1": "IBM", "T2": "AAPL"}
    with ScriptedFeed(aliases=tickers, on_request=let_one_join) as feed:
        use(feed, monkeypatch)
        feed.set_clock(THURSDAY)
        fill(home, tickers)
        with worker(scheduler, home.root):
            scheduler.wait_for_workers(1, PATIENCE_S)
            state = run(scheduler, [*tickers])
    assert (state.name, state.message) == ("Completed", "2 completed")
    assert ended == [0]
    assert [len(Ledger(home.ledger).entries(ticker)) for ticker in tickers] == [1, 1]
    assert not other.exists()


def test_a_worker_whose_code_lacks_the_check_is_refused_as_older(
    home: HomePaths, tmp_path: Path, scheduler: LocalCluster
) -> None:
    (tmp_path / "old" / "flows").mkdir(parents=True)
    (tmp_path / "old" / "flows" / "__init__.py").touch()
    # an installation of the present code would be found beside it
    lacking = "raise ModuleNotFoundError(\"No module named 'flows.cluster'\")\n"
    (tmp_path / "old" / "flows" / "cluster.py").write_text(lacking)
    with worker(scheduler, home.root, PYTHONPATH=f"{tmp_path / 'old'}{os.pathsep}{ROOT}"):
        scheduler.wait_for_workers(1, PATIENCE_S)
        state = run(scheduler, ["IBM"])
    error = state.result(raise_on_failure=False)
    assert isinstance(error, WorkerMismatch)
    assert "found older code (ModuleNotFoundError" in str(error)


def test_a_check_left_behind_by_a_killed_run_sends_no_worker_away(
    home: HomePaths, other: Path, scheduler: LocalCluster
) -> None:
    with identified_worker(home) as here, Client(scheduler) as client:
        client.register_plugin(SameWorkplace(here, "of a killed run"), name="of a killed run")
        with worker(scheduler, other) as joining:
            scheduler.wait_for_workers(1, PATIENCE_S)
            assert client.submit(str, 1).result(PATIENCE_S) == "1"
            assert joining.poll() is None


def failing(exchange: Exchange) -> None:
    """Answer as a Prefect server that is healthy but whose database is not."""
    is_asked = urlsplit(exchange.path).path.endswith(("/health", "/version"))
    whole(json.dumps(version("prefect")).encode(), 200 if is_asked else 500)(exchange)


def test_an_error_of_prefects_server_in_a_worker_can_be_unpickled_by_the_run() -> None:
    """httpx's own error cannot be, and its worker would be taken for a dead one."""
    with Loopback(failing) as server, temporary_settings({PREFECT_API_URL: f"{server.address}/api"}):
        sent = pickle.loads(pickle.dumps(night_of.fn("IBM", {"session": THURSDAY})))
    assert "Server error '500" in row_of("IBM", THURSDAY, sent).why
