"""Beyond one machine: `make run` on PostgreSQL, and many nights at once with both servers on it."""

import psycopg
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from stockml.home import current_home as home_of
from tests.faults.test_night_faults import ASKED
from tests.faults.test_server_faults import states_of_runs
from tests.support import replaying
from tests.support.commands import make_run
from tests.support.night_process import nights, standing, start_night
from tests.support.own_servers import OwnServer
from tests.support.patience import PATIENCE_S, until
from tests.support.postgres_server import create_databases, needs_postgres, postgres_server
from tests.support.scripted_feed import ScriptedFeed

pytestmark = [pytest.mark.slow, needs_postgres]

RIGHT, WRONG = "r1ght", "wr0ng"
PLAYED_BY = {"T0": "IBM", "T1": "AAPL"}


def test_both_servers_on_postgresql_take_many_nights_at_once(home, tmp_path_factory, monkeypatch):
    """The first command's own Prefect server makes the tables, in databases that a person has
    created. A wrong password is told, and not shown."""
    monkeypatch.delenv("ALPHAVANTAGE_API_KEY", raising=False)
    with postgres_server(tmp_path_factory.mktemp("postgres"), RIGHT) as guarded:
        address = guarded.replace("@", f":{RIGHT}@")
        monkeypatch.setenv("STOCKML_DATABASE_URL", guarded.replace("@", f":{WRONG}@"))
        refused = make_run("IBM")
        assert refused.returncode == 1
        assert "password authentication failed" in refused.stderr
        assert WRONG not in refused.stdout + refused.stderr
        monkeypatch.setenv("STOCKML_DATABASE_URL", address)
        create_databases(address, "prefect", "mlflow")
        first = make_run("IBM")
        assert (first.returncode, first.stderr.count("stockml:")) == (0, 1), first.stderr
        place = home_of()
        with OwnServer.prefect(place).start() as prefect, OwnServer.mlflow(place).start() as mlflow:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.wait().address)
            with temporary_settings({PREFECT_API_URL: f"{prefect.wait().address}/api"}):
                nights_at_once(home_of(), monkeypatch)
        with psycopg.connect(f"{address}/mlflow") as database:
            [finished] = database.execute("SELECT status, count(*) FROM runs GROUP BY 1")
        # each ticker also has its track record's run
        assert finished == ("FINISHED", 2 * (1 + len(PLAYED_BY)))
    assert not (home.root / "mlflow.db").exists()
    assert not (home.prefect / "prefect.db").exists()


def nights_at_once(home, monkeypatch):
    replaying.fill(home, PLAYED_BY)
    with ScriptedFeed(aliases=PLAYED_BY) as feed:
        replaying.use(feed, monkeypatch)
        feed.set_clock(replaying.THURSDAY)
        monkeypatch.setenv("STOCKML_CLOCK", feed.now.isoformat())
        asked = {**ASKED, "quiet": False}
        at_work = [start_night(home, **{**asked, "ticker": ticker}) for ticker in PLAYED_BY]
        for night in at_work:
            night.join(PATIENCE_S)
    assert [night.exitcode for night in at_work] == [0] * len(PLAYED_BY)
    # and the first command's
    until(lambda: states_of_runs() == ["Completed"] * (1 + len(PLAYED_BY)), every_s=0.2)
    for ticker in PLAYED_BY:
        found, [night] = standing(home, ticker), nights(home, ticker)
        assert found.runs == ((night.key, "FINISHED"),)
        assert found.versions == found.entries == found.promotions == (night.key,)
