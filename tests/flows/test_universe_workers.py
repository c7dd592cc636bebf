"""A universe's worker processes: those of this machine end with it, those of a Dask scheduler must
have its home."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import LocalCluster

from flows.universe import universe
from stockml.errors import InvalidSetting
from stockml.forecasts.ledger import Ledger
from tasks.task_pool import at_dask
from tests.support.patience import PATIENCE_S
from tests.support.replaying import SMALL, THURSDAY, fill, use
from tests.support.scripted_feed import ScriptedFeed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scheduler():
    """A Dask scheduler on the loopback that has no workers of its own."""
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as running:
        yield running


@contextmanager
def worker(scheduler, home):
    """`dask worker` as a person starts it, with this STOCKML_HOME."""
    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler.scheduler_address]
    command += ["--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "STOCKML_HOME": str(home)}
    process = subprocess.Popen(command, env=environ, cwd=home.parent, stderr=subprocess.DEVNULL)
    try:
        scheduler.wait_for_workers(1, PATIENCE_S)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def run(scheduler, tickers):
    asked: dict[str, Any] = {"session": THURSDAY, "settings": SMALL, "late_retries": 0}
    return universe(tickers, dask_address=scheduler.scheduler_address, return_state=True, **asked)


@pytest.mark.campaign
@pytest.mark.usefixtures("prefect_server")
def test_nights_at_a_dask_address_are_done_by_its_workers_and_refused_by_those_of_another_home(
    with_tables, tmp_path, scheduler, monkeypatch
):
    tickers, other = {"T1": "IBM", "T2": "AAPL"}, tmp_path / "other"
    with ScriptedFeed(aliases=tickers) as feed:
        use(feed, monkeypatch)
        feed.set_clock(THURSDAY)
        fill(with_tables, tickers)
        with worker(scheduler, other):
            state = run(scheduler, ["T1"])
        [row] = state.result(raise_on_failure=False)
        assert (state.name, feed.requests, other.exists()) == ("Failed", 0, False)
        assert f"STOCKML_HOME to be the run's, {with_tables.root}, found '{other}'" in row.why
        with worker(scheduler, with_tables.root):
            state = run(scheduler, [*tickers])
    assert (state.name, state.message) == ("Completed", "2 completed")
    assert [len(Ledger(with_tables.ledger).entries(ticker)) for ticker in tickers] == [1, 1]


@pytest.mark.slow
def test_an_address_without_a_scheduler_is_named():
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        pytest.raises(InvalidSetting, match=r"one that is up, found '127.0.0.1:9'"),
        at_dask("tcp://me:secret@127.0.0.1:9"),
    ):
        pass


def test_without_dask_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InvalidSetting, match=r"pip install 'stockml\[dask\]'"), at_dask("x"):
        pass
