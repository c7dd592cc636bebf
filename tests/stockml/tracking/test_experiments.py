"""A ticker's experiment: where its files are, that it comes back, and that it follows a share to
its new symbol."""

from dataclasses import replace
from datetime import date
from itertools import count

import pytest
from mlflow import MlflowClient

from stockml.tracking import views
from stockml.tracking.views import NOTE
from tests.stockml.tracking.logged import client, experiment, runs, versions


def check_renamed(tracking):
    """Run, track record and model bear the new name, and their notes."""
    [run], [record] = runs(tracking, "BIM"), runs(tracking, "")
    for each in (run, record):
        assert (each.data.tags["ticker"], each.info.run_name.split()[0]) == ("BIM", "BIM")
    notes = experiment(tracking, "BIM").tags[NOTE], record.data.tags[NOTE]
    assert [note.split(" ")[0] for note in notes] == ["BIM:", "BIM's"]
    model = client(tracking).get_registered_model("lstm-BIM")
    assert model.tags["ticker"] == "BIM"
    assert model.description.startswith("Forecasts BIM's close:")


def test_experiment_and_model_follow_a_share_to_its_new_symbol(tracking, night):
    logged = tracking.log_night(night)
    tracking.follow_champion("IBM", night.key)
    assert tracking.rename("IBM", "BIM") == ["MLflow's experiment", "MLflow's model"]
    check_renamed(tracking)
    [run] = runs(tracking, "BIM")
    assert (run.info.run_id, run.data.tags["stockml.ticker"]) == (logged.mlflow_run_id, "BIM")
    assert run.info.run_name == replace(night, ticker="BIM").run_name
    assert (runs(tracking), versions(tracking)) == ([], [])
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
        *(("update_run", call) for call in (1, 2)),  # as well
        ("set_experiment_tag", 1),
        ("rename_experiment", 1),
        ("rename_registered_model", 1),
        ("set_registered_model_tag", 1),
    ],
)
def test_a_renaming_that_is_killed_anywhere_is_finished_by_the_next(
    step, call, tracking, night, monkeypatch
):
    tracking.log_night(night)
    with monkeypatch.context() as dying:
        real, calls = getattr(MlflowClient, step), count(1)

        def die(*arguments, **named):
            real(*arguments, **named)
            if next(calls) == call:
                raise KeyboardInterrupt

        dying.setattr(MlflowClient, step, die)
        with pytest.raises(KeyboardInterrupt):
            tracking.rename("IBM", "BIM")
    tracking.rename("IBM", "BIM")
    check_renamed(tracking)


@pytest.mark.parametrize("ticker", ["IBM", ""])
def test_an_experiment_someone_deleted_comes_back_with_the_next_night(ticker, tracking, night):
    logged = tracking.log_night(night)
    client(tracking).delete_experiment(experiment(tracking, ticker).experiment_id)
    tracking.log_night(replace(night, session=date(2013, 3, 1), key="1" * 64))
    assert experiment(tracking, ticker).lifecycle_stage == "active"
    assert logged.mlflow_run_id in {run.info.run_id for run in runs(tracking)}
    client(tracking).delete_experiment(experiment(tracking, ticker).experiment_id)
    assert tracking.rename("IBM", "BIM") == ["MLflow's experiment", "MLflow's model"]


def test_a_page_someone_rearranged_stays_that_way_until_a_version_arranges_it_anew(tracking, night):
    tracking.log_night(night)
    client(tracking).set_experiment_tag(experiment(tracking).experiment_id, views.TAG, "mine")
    tracking.log_night(replace(night, session=date(2013, 3, 1), key="1" * 64))
    assert experiment(tracking).tags[views.TAG] == "mine"
    for name in (views.TAG, views.ARRANGED):
        overview = experiment(tracking, "").experiment_id
        client(tracking).set_experiment_tag(overview, name, "an earlier version's")
    tracking.prepare()
    assert experiment(tracking, "").tags[views.TAG] == views.record_view()
