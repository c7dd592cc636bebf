"""What is learned and measured off the nights: whose prices are read, and what is said while one waits."""

import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter

from stockml.errors import StoreUnreadable
from stockml.home import Home
from stockml.prices.store import BarStore
from stockml.training.checkpoint import EpochProgress
from stockml.training.tuned_settings import TrialRecord
from tasks.artifacts import EpochReport
from tasks.studies import TrialReport, read_prices
from tests.support.replaying import fill

pytestmark = pytest.mark.usefixtures("prefect_server")


@flow
def reading(tickers: list[str]) -> list[str]:
    return sorted(read_prices(tickers, None, None))


def test_of_all_tickers_one_that_cannot_be_read_is_left_out_and_said_but_not_one_that_was_named(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    fill(home, ["AAPL", "IBM"])
    damaged = BarStore.of(home).path("IBM")
    with open(damaged, "wb") as file:
        file.write(b"no Parquet")
    assert reading([]) == ["AAPL"]
    assert f"IBM is left out: {damaged}" in caplog.text
    with pytest.raises(StoreUnreadable):
        reading(["IBM"])


def trial(number: int, seconds: float, of: int) -> TrialRecord:
    began = datetime(2026, 1, 2, tzinfo=UTC)
    return TrialRecord("IBM", "a study", number, of, "complete", {}, (), 1.0, 1.0, began, seconds)


@flow
def searching(*trials: TrialRecord) -> None:
    report = TrialReport("IBM")
    for each in trials:
        report.on_trial(each)


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        ([trial(0, 50.0, 4), trial(1, 70.0, 4)], "trial 2 of 4, about 2 min left"),
        ([trial(0, 50.0, 1), trial(1, 70.0, 1)], "trial 2 of 1, all done"),
    ],
)
def test_the_time_that_a_search_still_takes_is_told_by_what_its_trials_took_whenever_that_was(
    home: Home, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, trials: list[Any], said: str
) -> None:
    home.root.mkdir()
    (home.root / "file").touch()  # which is no folder
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home.root}/file/mlflow.db")
    with caplog.at_level(logging.INFO, logger="prefect.flow_runs"):
        searching(*trials)
    assert said in caplog.text


@flow
def training(*rows: EpochProgress) -> None:
    report = EpochReport("PUB", "2013-03-01")
    for row in rows:
        report.on_epoch(row)


def test_where_only_the_published_network_is_still_to_be_learned_half_the_way_is_behind() -> None:
    training(EpochProgress("published", 1, 2, 0.1, 0.1, 1e-3, 1.0, 1.0))
    with get_client(sync_client=True) as client:
        (bar,) = client.read_artifacts(artifact_filter=ArtifactFilter(key={"any_": ["training-pub"]}))
    assert bar.data == 75.0
