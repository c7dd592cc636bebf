"""Machines that share no disk: their state is on an object store, their locks and quota in PostgreSQL."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import fsspec
import psycopg
import pytest

from deployments.replay.feed import Feed
from flows.nightly import nightly
from flows.studies import backtest
from stockml.errors import RowUnavailable
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.prices.store import BarStore
from stockml.storage.manifests import Manifest
from stockml.storage.shared_state import SharedState
from stockml.storage.sharing import commit_all, refresh
from tests.bench.material import write_csv
from tests.support import replaying
from tests.support.machines import machine
from tests.support.night_process import standing
from tests.support.object_store import environment, object_store
from tests.support.own_servers import free_port, mlflow_server
from tests.support.patience import until
from tests.support.postgres_server import needs_postgres
from tests.support.recordings import recorded

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server"), needs_postgres]

FRIDAY = date(2013, 3, 1)
ASKED: dict[str, Any] = {"settings": replaying.SMALL, "late_retries": 0}
SAME = ("ledger/{}.parquet", "models/{}/promotions.jsonl")


@dataclass(frozen=True)
class Shared:
    """What the machines share, and a cache of it that no night uses."""

    ticker: str
    environ: Mapping[str, str]
    disk: Path
    cache: HomePaths

    def machine(self, name: str) -> Any:
        return machine(name, self.disk, {**self.environ, "STOCKML_HOME": str(self.disk / "home")})

    def committed(self) -> Manifest | None:
        """The ticker's state as it was last committed."""
        state = SharedState.of(self.cache)
        assert state is not None
        found = state.objects.read(f"parts/{self.ticker}.json").content
        return None if found is None else Manifest.read(found, self.environ["STOCKML_STATE"])

    def read(self) -> HomePaths:
        refresh(self.cache)
        return self.cache


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    with Feed() as running:
        replaying.use(running, monkeypatch)
        yield running


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, installation: HomePaths) -> Iterator[Mapping[str, str]]:
    """An object store, and an MLflow server whose artifacts are on it too; the variables that their clients need."""
    with object_store(tmp_path_factory.mktemp("objects"), "state") as objects, mlflow_server(installation) as tracking:
        yield {**objects.environ, "STOCKML_ARTIFACTS": "s3://state/artifacts", "MLFLOW_TRACKING_URI": tracking}


@pytest.fixture
def shared(
    request: pytest.FixtureRequest,
    home: HomePaths,
    stockml_database: str,
    servers: Mapping[str, str],
    feed: Feed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Shared]:
    """A state of the test's own with recorded bars of its ticker, which tells its runs apart on the MLflow server."""
    ticker, state = request.param, f"s3://state/{tmp_path.name}"
    for name in servers.keys() & environment(0).keys():
        monkeypatch.setenv(name, servers[name])
    environ = {**servers, "STOCKML_STATE": state, "STOCKML_DATABASE_URL": stockml_database}
    cache = home_of({"STOCKML_HOME": str(tmp_path / "cache"), **environ})
    replaying.fill(cache, [ticker])
    refresh(cache)
    commit_all(cache)
    yield Shared(ticker, environ, tmp_path / "disk", cache)
    fsspec.filesystem("s3").clear_instance_cache()
    with psycopg.connect(f"{stockml_database}/stockml", autocommit=True) as database:
        database.execute("DROP TABLE IF EXISTS notes")


def of(ticker: str) -> pytest.MarkDecorator:
    """The shared state has this ticker."""
    return pytest.mark.parametrize("shared", [ticker], indirect=True)


@contextmanager
def at(feed: Feed, session: date, ticker: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Set the clock to the evening of the session, in this process and in those that it starts from here on."""
    feed.set_clock(session)
    monkeypatch.setenv("STOCKML_CLOCK", feed.now.isoformat())
    yield {"ticker": ticker, "session": session, **ASKED}


@of("IBM")
def test_nights_on_three_machines_of_which_one_dies_equal_those_of_one_byte_for_byte(
    shared: Shared, with_tables: HomePaths, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One dies after committing its bars and before its forecast; the others run that night and the next."""
    before = shared.committed()
    for name, session in (("dying", replaying.THURSDAY), ("second", replaying.THURSDAY), ("third", FRIDAY)):
        with at(feed, session, shared.ticker, monkeypatch) as asked, shared.machine(name) as there:
            there.night(**asked)
            if name == "dying":
                until(lambda: shared.committed() != before, every_s=0.1)
                there.kill()
            else:
                assert there.outcome() == "Completed"
    replaying.fill(alone := with_tables, [shared.ticker])
    for session in (replaying.THURSDAY, FRIDAY):
        with at(feed, session, shared.ticker, monkeypatch) as asked:
            assert nightly(**asked, return_state=True).is_completed()
    there = shared.read()
    for name in (each.format(shared.ticker) for each in SAME):
        assert (there.root / name).read_bytes() == (alone.root / name).read_bytes(), name
    # the bars too; when each was recorded differs
    assert standing(there, shared.ticker) == standing(alone, shared.ticker)


@of("AAPL")
def test_two_machines_that_run_one_night_at_once_leave_one_night(
    shared: Shared, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database drops every connection midway, and with it the lock that kept them apart: they meet at the state."""
    with (
        at(feed, replaying.THURSDAY, shared.ticker, monkeypatch) as asked,
        shared.machine("first") as one,
        shared.machine("second") as other,
    ):
        before = shared.committed()
        for each in (one, other):
            each.night(**asked)
        until(lambda: shared.committed() != before, every_s=0.1)
        with psycopg.connect(shared.environ["STOCKML_DATABASE_URL"] + "/stockml", autocommit=True) as database:
            database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        ends = {one.outcome(), other.outcome()}
    assert "Completed" in ends
    assert all(end == "Completed" or "run again" in end for end in ends)
    found = standing(shared.read(), shared.ticker)
    assert (len(found.runs), len(found.entries), len(found.promotions)) == (1, 1, 1)


@of("MSFT")
def test_a_night_stops_waiting_for_mlflow_once_another_machine_has_logged_it(
    shared: Shared, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    away = replace(shared, environ={**shared.environ, **nowhere})
    for place, name, waiting in ((away, "first", 1), (shared, "second", 0)):
        with at(feed, replaying.THURSDAY, shared.ticker, monkeypatch) as asked, place.machine(name) as there:
            there.night(**asked)
            assert there.outcome() == "Completed"
        assert standing(shared.read(), shared.ticker).waiting == waiting, name
    assert [status for _, status in standing(shared.read(), shared.ticker).runs] == ["FINISHED"]


@of("IBM")
def test_a_backtest_reads_what_another_machine_has_committed(
    shared: Shared, home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a home that has not seen the state yet; without the bars, the error would not be about the span."""
    for name, value in shared.environ.items():
        monkeypatch.setenv(name, value)
    asked: dict[str, Any] = {"first": date(2012, 6, 1), "last": date(2012, 6, 8)}
    write_csv(recorded("MSFT"), home.root / "files" / "msft.us.txt")
    with pytest.raises(RowUnavailable, match="of 20 nights"):
        backtest([], prices=str(home.root / "files"), **asked)
    assert BarStore.of(home).tickers() == (), "what a folder's files need of the state is the bases"
    with pytest.raises(RowUnavailable, match="of 20 nights"):
        backtest([shared.ticker], **asked)
