"""A pretrained network from price files; past nights from Prefect's page, whose form replays the
newest years that the store has."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.sorting import ArtifactSort
from prefect.settings import PREFECT_API_URL

from flows.maintenance import maintenance
from flows.studies import backtest, pretrain
from stockml.home import HomePaths
from stockml.prices.calendar import sessions_for
from stockml.prices.store import BarStore
from tests.faults.flow_kills import write_thirty
from tests.support.commands import Captured, here
from tests.support.json_fields import check_fields
from tests.support.prefect_server import artifacts_refused
from tests.support.recordings import recorded
from tests.support.replaying import fill


@pytest.mark.campaign
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_the_form_of_past_nights_as_it_stands_takes_what_a_home_of_a_few_years_has(
    home: HomePaths,
) -> None:
    """Its dates were 2009 to 2012, when the history of a new home has not begun."""
    days = sessions_for("IBM").between(date(2021, 1, 4), date(2026, 11, 20))
    bars = recorded("IBM").iloc[-len(days) :].set_axis(pd.DatetimeIndex(days, name="session"))
    source = {
        "recorded_at": datetime(2026, 11, 21, tzinfo=UTC),
        "source": "test",
        "session": days[-1],
    }
    BarStore.of(home).append("IBM", bars, **source)
    state = backtest([], every=16, return_state=True)
    assert state.name == "Completed", state.message
    table = state.result()
    assert "2023-11-13" <= table.first <= "2023-12-31"
    assert str(days[-51 - 16]) <= table.last <= str(days[-51])


@pytest.mark.usefixtures("prefect_server")
def test_where_no_ticker_of_the_store_can_be_read_the_run_says_why(home: HomePaths) -> None:
    fill(home, ["IBM"])
    Path(BarStore.of(home).path("IBM")).write_bytes(b"cut short")
    state = backtest([], return_state=True)
    assert "all of them are left out: " in str(state.message)
    assert "IBM.parquet: expected a readable Parquet file of bars, found damage" in str(
        state.message
    )


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server", "with_tables")
def test_what_took_hours_is_complete_though_prefect_refuses_its_page() -> None:
    """A pretrained network was in use, and a clean-up done, and both were told as failed."""
    with artifacts_refused():
        state = maintenance(dry_run=True, return_state=True)
    assert state.is_completed(), state.message


@pytest.mark.campaign
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_pretrained_network_learned_while_mlflow_is_away_is_used_and_the_same_command_logs_it(
    with_tables: HomePaths, tmp_path: Path, capfd: Captured
) -> None:
    """What the command prints is on the run's page and in MLflow too; of a day with too little to
    learn from, why."""
    files = tmp_path / "prices"
    write_thirty(files)
    asked = ("pretrain", "--prices", str(files), "--seeds", "1", "--through", "2012-12-03")
    server = {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
    assert here(*asked, **server, MLFLOW_TRACKING_URI="http://127.0.0.1:9") == 0
    away = capfd.readouterr()
    assert "the same run again logs it" in away.err
    assert away.out.startswith("a pretrained network of 30 tickers through 2012-12-03, 11,")
    *_, meaning, use = away.out.splitlines()
    assert "no evidence of skill" in meaning, "of random walks, 73 % of the tickers gained"
    assert Path(
        use.removeprefix("  nights after 2012-12-03, up to a newer pretrained network, start from ")
    ).is_file()
    assert here(*asked, "--json", **server) == 0
    found = json.loads(capfd.readouterr().out)
    check_fields("pretrain", found)
    [version] = MlflowClient(with_tables.tracking_uri).search_model_versions(
        "name = 'lstm-pretrained'"
    )
    assert version.tags["vintage"] == found["through"][:7] == "2012-12"
    of_pretrained, newest = (
        ArtifactFilter(key=ArtifactFilterKey(any_=["pretrained"])),
        ArtifactSort.CREATED_DESC,
    )
    with get_client(sync_client=True) as client:
        [shown] = client.read_artifacts(artifact_filter=of_pretrained, sort=newest, limit=1)
    assert all(
        f"- {name}: {value:.4g}" in str(shown.data) for name, value in found["scores"].items()
    )
    assert here("pretrain", "--prices", str(files), "--through", "2001-01-02", **server) == 1
    refused = capfd.readouterr().err
    assert refused.count("expected at least 30 tickers of 2,000 sessions by 2001-01-02") == 1
    assert "failed" not in refused


@pytest.mark.usefixtures("prefect_server")
def test_a_pretrained_network_is_learned_through_the_newest_session_of_its_files_whatever_the_replays_clock(
    home: HomePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of files through 2017, a pretrained network in a replay ended in 2013, though "the newest"
    was promised."""
    monkeypatch.setenv("STOCKML_CLOCK", "2011-03-01T23:00:00-05:00")
    recorded("IBM").tail(640).rename(columns=str.capitalize).rename_axis("Date").to_csv(
        tmp_path / "ibm.us.txt"
    )
    assert pretrain(prices=str(tmp_path), return_state=True).result().until == date(2013, 3, 1)
