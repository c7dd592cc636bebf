"""What the clean-up may take from MLflow: a person's own runs, and nights whose model they registered, stay.

A model that was cleared away and is champion again comes back.
"""

from dataclasses import replace
from datetime import timedelta

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository as artifacts

from stockml.nights.record import Night
from stockml.tracking import retention
from stockml.tracking.client import Tracking
from tests.stockml.tracking.logged import NOW, client, experiment, versions


def test_a_model_that_was_cleared_away_comes_back_with_a_rollback_to_it(tracking: Tracking, night: Night) -> None:
    """A second rollback goes further back than what the clean-up spares."""
    tracking.keep_and_log(night)
    reached = client(tracking)
    reached.delete_registered_model_alias("lstm-IBM", "challenger")
    retention.clear_files(reached, retention.beyond_newest(reached, 0, []), NOW)
    assert (versions(tracking), [each.model_version for each in tracking.rebuild()]) == ([], [None])
    version = tracking.follow_champion("IBM", night.key)
    [champion] = versions(tracking)
    assert artifacts(champion.source).list_artifacts()
    assert version == tracking.follow_champion("IBM", night.key) == str(champion.version)
    assert retention.beyond_newest(reached, 0, []) == ()


def test_what_a_person_made_in_a_tickers_experiment_is_never_old(tracking: Tracking, night: Night) -> None:
    """A run of their own beside the nights, and a night's model that they registered under a name of their own."""
    nights = [replace(night, key=f"{day:064}", finished_at=night.finished_at + timedelta(day)) for day in range(3)]
    first, second, _ = [tracking.log_night(each) for each in nights]
    reached = client(tracking)
    reached.delete_registered_model_alias("lstm-IBM", "challenger")
    begun = reached.create_run(experiment(tracking).experiment_id, start_time=1, run_name="a person's")
    reached.set_terminated(begun.info.run_id)
    [source] = [version.source for version in versions(tracking) if str(version.version) == first.model_version]
    reached.create_registered_model("favourites")
    reached.create_model_version("favourites", source, first.mlflow_run_id)
    old = retention.outdated(reached, NOW + timedelta(days=200), [])
    assert [each.run_id for each in old] == [second.mlflow_run_id]
    assert retention.beyond_newest(reached, 1, []) == old
