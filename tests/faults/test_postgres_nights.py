"""Beyond one machine: `make run` on PostgreSQL, and many nights at once with both servers on it."""

import time
from datetime import date
from typing import Any

import psutil
import psycopg
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings

from stockml.home import HomePaths
from stockml.home import current_home as home_of
from tests.support import replaying
from tests.support.commands import make_run
from tests.support.night_process import nights, standing, start_night
from tests.support.own_servers import OwnServer
from tests.support.patience import PATIENCE_S, until
from tests.support.postgres_server import create_databases, needs_postgres, postgres_server
from tests.support.scripted_feed import ScriptedFeed

pytestmark = [pytest.mark.slow, needs_postgres]

PLAYED_BY = {f"T{n}": ("IBM", "AAPL", "MSFT", "GOOG")[n % 4] for n in range(2)}
ASKED: dict[str, Any] = {
    "session": date(2013, 2, 28),
    "settings": replaying.SMALL,
    "late_retries": 0,
}


def test_both_servers_on_postgresql_take_many_nights_at_once(
    home: HomePaths, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first command's own Prefect server makes the tables, in databases that a person has
    created."""
    monkeypatch.delenv("ALPHAVANTAGE_API_KEY", raising=False)
    with postgres_server(tmp_path_factory.mktemp("postgres")) as address:
        monkeypatch.setenv("STOCKML_DATABASE_URL", address)
        create_databases(address, "prefect", "mlflow")
        first = make_run("IBM")
        assert (first.returncode, first.stderr.count("stockml:")) == (0, 1), first.stderr
        place = home_of()
        with OwnServer.prefect(place).start() as prefect, OwnServer.mlflow(place).start() as mlflow:
            assert not any(
                "postgresql" in word
                for each in psutil.process_iter()
                for word in arguments_of(each)
            )
            monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.wait().address)
            with temporary_settings({PREFECT_API_URL: f"{prefect.wait().address}/api"}):
                nights_at_once(home_of(), monkeypatch)
        with psycopg.connect(f"{address}/prefect") as database:
            runs = database.execute(
                "SELECT state_type::text, count(*) FROM flow_run GROUP BY 1 ORDER BY 1"
            ).fetchall()
            assert dict(runs)["COMPLETED"] == 1 + len(PLAYED_BY)
        with psycopg.connect(f"{address}/mlflow") as database:
            finished = database.execute("SELECT status, count(*) FROM runs GROUP BY 1").fetchall()
            assert finished == [("FINISHED", 2 * (1 + len(PLAYED_BY)))], (
                "each ticker also has its track record's run"
            )
    assert not (home.root / "mlflow.db").exists()
    assert not (home.prefect / "prefect.db").exists()


def nights_at_once(home: HomePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    replaying.fill(home, PLAYED_BY)
    with ScriptedFeed(aliases=PLAYED_BY) as feed:
        replaying.use(feed, monkeypatch)
        feed.set_clock(ASKED["session"])
        monkeypatch.setenv("STOCKML_CLOCK", feed.now.isoformat())
        began = time.monotonic()
        at_work = [start_night(home, ticker=ticker, quiet=False, **ASKED) for ticker in PLAYED_BY]
        for night in at_work:
            night.join(PATIENCE_S)
        seconds = time.monotonic() - began
    assert [night.exitcode for night in at_work] == [0] * len(PLAYED_BY)
    recorded = until(lambda: completed(len(PLAYED_BY)), every_s=0.2)
    longest = max(run.total_run_time.total_seconds() for run in recorded)
    print(
        f"{len(PLAYED_BY)} nights at once on PostgreSQL: {seconds:.1f} s, the longest "
        f"{longest:.1f} s"
    )
    for ticker in PLAYED_BY:
        found, [night] = standing(home, ticker), nights(home, ticker)
        assert found.runs == ((night.key, "FINISHED"),)
        assert found.versions == found.entries == found.promotions == (night.key,)


def completed(count: int) -> list[FlowRun]:
    """The nights of these tickers, once all are Completed on the server; until then none."""
    with get_client(sync_client=True) as client:
        runs = [run for run in client.read_flow_runs() if run.parameters.get("ticker") in PLAYED_BY]
    done = [run for run in runs if run.state_name == "Completed"]
    return done if len(done) == len(runs) == count else []


def arguments_of(process: psutil.Process) -> list[str]:
    """The command line of a process started as `stockml up` starts its servers; empty for any
    other."""
    try:
        words = process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []
    return words if "deployments.servers.processes" in words else []
