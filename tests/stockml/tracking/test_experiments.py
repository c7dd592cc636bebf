"""A ticker's experiment: where its files are, that it comes back, and that it follows a share to
its new symbol."""

from dataclasses import replace
from datetime import date
from itertools import count
from typing import Any

import pytest
from mlflow import MlflowClient

from stockml.nights.record import Night
from stockml.tracking import views
from stockml.tracking.client import Tracking
from stockml.tracking.views import NOTE
from tests.stockml.tracking.logged import client, experiment, runs, versions


def test_experiment_and_model_follow_a_share_to_its_new_symbol(
    tracking: Tracking, night: Night
) -> None:
    logged = tracking.log_night(night)
    tracking.follow_champion("IBM", night.key)
    assert tracking.rename("IBM", "BIM") == ["MLflow's experiment", "MLflow's model"]
    [run] = runs(tracking, "BIM")
    assert (run.info.run_id, run.data.tags["stockml.ticker"]) == (logged.mlflow_run_id, "BIM")
    assert (run.data.tags["ticker"], run.info.run_name) == (
        "BIM",
        replace(night, ticker="BIM").run_name,
    )
    assert (runs(tracking), versions(tracking)) == ([], [])
    model = client(tracking).get_registered_model("lstm-BIM")
    assert (model.tags["ticker"], model.description.split(":")[0]) == (
        "BIM",
        "Forecasts BIM's close",
    )
    assert [str(version.version) for version in versions(tracking, "BIM")] == [logged.model_version]
    # as a night under the old name since would make them
    client(tracking).create_experiment("stockml/IBM")
    client(tracking).create_registered_model("lstm-IBM")
    assert tracking.rename("IBM", "BIM") == []
    tracking.log_night(replace(night, ticker="BIM", session=date(2013, 3, 1), key="1" * 64))
    assert experiment(tracking, "BIM").tags[NOTE].startswith("BIM: one run per night")


@pytest.mark.parametrize(
    ("step", "call"),
    [
        *(("set_tag", call) for call in (1, 3, 4)),  # of the night's run, of the track record's
        *((step, 1) for step in ("set_experiment_tag", "rename_experiment")),
        *(("update_run", call) for call in (1, 2)),  # of the night's run, of the track record's
        *((step, 1) for step in ("rename_registered_model", "set_registered_model_tag")),
    ],
)
def test_a_renaming_that_is_killed_anywhere_is_finished_by_the_next(
    step: str, call: int, tracking: Tracking, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking.log_night(night)
    with monkeypatch.context() as dying:
        real, calls = getattr(MlflowClient, step), count(1)

        def die(*arguments: Any, **named: Any) -> None:
            real(*arguments, **named)
            if next(calls) == call:
                raise KeyboardInterrupt

        dying.setattr(MlflowClient, step, die)
        with pytest.raises(KeyboardInterrupt):
            tracking.rename("IBM", "BIM")
    tracking.rename("IBM", "BIM")
    assert [
        (run.data.tags["ticker"], run.info.run_name.split()[0]) for run in runs(tracking, "BIM")
    ] == [("BIM",) * 2]
    overview = client(tracking).get_experiment_by_name("stockml").experiment_id
    [record] = client(tracking).search_runs([overview])
    assert (record.info.run_name, record.data.tags["ticker"]) == ("BIM", "BIM")
    notes = experiment(tracking, "BIM").tags[NOTE], record.data.tags[NOTE]
    assert [note.split(" ")[0] for note in notes] == ["BIM:", "BIM's"], (
        "also of one that has no further night"
    )
    model = client(tracking).get_registered_model("lstm-BIM")
    assert (model.tags["ticker"], model.description.split(":")[0]) == (
        "BIM",
        "Forecasts BIM's close",
    )


@pytest.mark.parametrize("name", ["stockml/IBM", "stockml"])
def test_an_experiment_someone_deleted_comes_back_with_the_next_night(
    name: str, tracking: Tracking, night: Night
) -> None:
    logged = tracking.log_night(night)
    client(tracking).delete_experiment(client(tracking).get_experiment_by_name(name).experiment_id)
    tracking.log_night(replace(night, session=date(2013, 3, 1), key="1" * 64))
    assert client(tracking).get_experiment_by_name(name).lifecycle_stage == "active"
    assert logged.mlflow_run_id in {run.info.run_id for run in runs(tracking)}
    client(tracking).delete_experiment(client(tracking).get_experiment_by_name(name).experiment_id)
    assert tracking.rename("IBM", "BIM") == ["MLflow's experiment", "MLflow's model"]


def test_a_page_someone_rearranged_stays_that_way_until_a_version_arranges_it_anew(
    tracking: Tracking, night: Night
) -> None:
    tracking.log_night(night)
    client(tracking).set_experiment_tag(experiment(tracking).experiment_id, views.TAG, "mine")
    tracking.log_night(replace(night, session=date(2013, 3, 1), key="1" * 64))
    assert experiment(tracking).tags[views.TAG] == "mine"
    overview = client(tracking).get_experiment_by_name("stockml").experiment_id
    for name in (views.TAG, views.ARRANGED):
        client(tracking).set_experiment_tag(overview, name, "an earlier version's")
    tracking.prepare()
    assert client(tracking).get_experiment(overview).tags[views.TAG] == views.record_view()
