"""A night is logged once, and links open the pages as they were arranged."""

from dataclasses import replace

import pytest
import requests

from stockml.nights.record import Night
from stockml.tracking.client import Tracking
from tests.stockml.tracking.logged import changed, client, experiment, runs, versions
from tests.support.loopback import Exchange, Loopback
from tests.support.own_servers import mlflow_server
from tests.support.patience import PATIENCE_S


def test_the_summarys_links_open_the_run_and_the_tickers_nights_as_arranged(
    tracking: Tracking, night: Night
) -> None:
    known = replace(tracking, pages="http://127.0.0.1:5000").keep_and_log(night)
    found = experiment(tracking)
    page = f"http://127.0.0.1:5000/#/experiments/{found.experiment_id}/runs"
    assert "mlflow.sharedViewState.stockml" in found.tags
    assert (
        known.mlflow_nights_url == f"{page}?viewStateShareKey=stockml&workflowType=machine_learning"
    )
    assert known.mlflow_run_url == f"{page}/{known.mlflow_run_id}?workflowType=machine_learning"
    assert tracking.keep_and_log(night).mlflow_nights_url is None, "no page is up"


def test_logging_the_same_night_again_adds_nothing(tracking: Tracking, night: Night) -> None:
    logged = tracking.log_night(night)
    assert logged == tracking.log_night(night)
    plots = client(tracking).list_artifacts(logged.mlflow_run_id, "plots")
    assert [each.path for each in plots] == ["plots/forecast.png"]
    assert len(runs(tracking)) == len(versions(tracking)) == 1


@pytest.mark.campaign
def test_what_is_created_by_a_request_whose_answer_is_lost_is_there_once(
    tracking: Tracking, night: Night
) -> None:
    """MLflow's client asked again by itself: a night's model and its version stood there twice."""
    tracking.log_night(night)
    lost = ["runs/create", "logged-models", "model-versions/create"]
    with mlflow_server(tracking.home) as real:

        def pass_on(exchange: Exchange) -> None:
            body, kind = getattr(exchange, "posted", None), {"Content-Type": "application/json"}
            got = requests.request(
                exchange.command, real + exchange.path, data=body, headers=kind, timeout=PATIENCE_S
            )
            name = exchange.path.split("/mlflow/")[-1]
            is_lost = exchange.command == "POST" and name in lost
            if is_lost:
                lost.remove(name)
            exchange.send(got.content, 504 if is_lost else got.status_code, **kind)

        with Loopback(pass_on) as proxy:
            served = changed(tracking, tracking_uri=proxy.address)
            logged = replace(served, retry_for_s=PATIENCE_S).keep_and_log(
                replace(night, key="e" * 64)
            )
        reached = client(changed(tracking, tracking_uri=real))
        reached.create_experiment("stockml/KO", artifact_location="mlflow-artifacts:/KO")
        there = changed(tracking, tracking_uri=real).log_night(replace(night, ticker="KO"))
        files = {each.path for each in reached.list_artifacts(there.mlflow_run_id)}
        assert files == {"plots", "night.json", "scores.csv"}, (
            "also where the server keeps the files"
        )
    assert not lost
    assert {str(each.version) for each in versions(tracking)} == {"1", logged.model_version}
    assert len(runs(tracking)) == 2
    models = client(tracking).search_logged_models([experiment(tracking).experiment_id])
    assert [str(model.status) for model in models] == ["READY"] * 2
