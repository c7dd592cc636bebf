"""A pretrained network from price files; past nights from what the store has."""

import json
from datetime import date
from pathlib import Path

import pytest
from mlflow import MlflowClient
from prefect.settings import PREFECT_API_URL

from flows.studies import backtest, pretrain
from stockml.prices.store import BarStore
from tests.bench.material import write_csv
from tests.faults.flow_kills import write_thirty
from tests.support.commands import here
from tests.support.json_fields import check_fields
from tests.support.recordings import recorded
from tests.support.replaying import fill


@pytest.mark.usefixtures("prefect_server")
def test_where_no_ticker_of_the_store_can_be_read_the_run_says_why(home):
    fill(home, ["IBM"])
    (path := Path(BarStore.of(home).path("IBM"))).write_bytes(b"cut short")
    said = f"all of them are left out: {path}: expected a readable Parquet file of bars"
    assert str(backtest([], return_state=True).message).startswith(said)


@pytest.mark.campaign
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_pretrained_network_learned_while_mlflow_is_away_is_used_and_the_same_command_logs_it(
    with_tables, tmp_path, capfd
):
    write_thirty(files := tmp_path / "prices")
    asked = ("pretrain", "--prices", str(files), "--seeds", "1", "--through")
    server = {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
    assert here(*asked, "2012-12-03", **server, MLFLOW_TRACKING_URI="http://127.0.0.1:9") == 0
    away = capfd.readouterr()
    assert "the same run again logs it" in away.err
    assert Path(away.out.splitlines()[-1].rpartition("start from ")[2]).is_file()
    assert here(*asked, "2012-12-03", "--json", **server) == 0
    found = json.loads(capfd.readouterr().out)
    check_fields("pretrain", found)
    client = MlflowClient(with_tables.tracking_uri)
    [version] = client.search_model_versions("name = 'lstm-pretrained'")
    assert version.tags["vintage"] == found["through"][:7] == "2012-12"
    assert here(*asked, "2001-01-02", **server) == 1
    assert "expected at least 30 tickers of 2,000 sessions" in capfd.readouterr().err


@pytest.mark.usefixtures("prefect_server")
def test_a_pretrained_network_is_learned_through_the_newest_session_of_its_files_whatever_the_clock(
    home, tmp_path, monkeypatch
):
    """Of files through 2017, a pretrained network in a replay ended in 2013, though "the newest"
    was promised."""
    monkeypatch.setenv("STOCKML_CLOCK", "2011-03-01T23:00:00-05:00")
    write_csv(recorded("IBM").tail(640), tmp_path / "ibm.us.txt")
    assert pretrain(prices=str(tmp_path), return_state=True).result().until == date(2013, 3, 1)
