"""What the clean-up may take from MLflow: a person's own runs, nights whose model they registered, other homes' stay.

A model that was cleared away and is champion again comes back.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository as artifacts

from stockml.errors import TrackingUnavailable
from stockml.nights.record import Night, night_path, write_night
from stockml.tracking import retention
from stockml.tracking.client import Tracking
from stockml.tracking.retention import empty_trash
from stockml.tracking.runs import INSTALLATION
from tests.stockml.tracking.logged import NOW, changed, client, experiment, runs, versions
from tests.support.loopback import Loopback, whole


def test_a_model_that_was_cleared_away_comes_back_with_a_rollback_to_it(tracking: Tracking, night: Night) -> None:
    """A second rollback goes further back than what the clean-up spares."""
    tracking.keep_and_log(night)
    reached = client(tracking)
    reached.delete_registered_model_alias("lstm-IBM", "challenger")
    retention.clear_files(reached, retention.beyond_newest(reached, 0, [], tracking.is_own), NOW)
    assert (versions(tracking), [each.model_version for each in tracking.rebuild()]) == ([], [None])
    assert retention.beyond_newest(reached, 0, [], tracking.is_own) == ()
    note = reached.get_run(runs(tracking)[0].info.run_id).data.tags["mlflow.note.content"]
    assert "What each metric is" in note
    assert "plots" not in note.casefold()
    version = tracking.follow_champion("IBM", night.key)
    [champion] = versions(tracking)
    assert artifacts(champion.source).list_artifacts()
    assert version == tracking.follow_champion("IBM", night.key) == str(champion.version)
    assert retention.beyond_newest(reached, 0, [], tracking.is_own) == ()


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
    old = retention.outdated(reached, NOW + timedelta(days=200), [], tracking.is_own)
    assert [each.run_id for each in old] == [second.mlflow_run_id]
    assert retention.beyond_newest(reached, 1, [], tracking.is_own) == old
    reached.delete_tag(second.mlflow_run_id, INSTALLATION)  # earlier versions set none
    assert retention.beyond_newest(reached, 1, [], tracking.is_own) == old
    tracking.rename("IBM", "BIM")
    assert _ids(retention.outdated(reached, NOW + timedelta(days=200), [], tracking.is_own)) == [second.mlflow_run_id]


def test_the_nights_of_another_home_that_logs_to_the_same_mlflow_are_left_to_its_own_clean_up(
    tracking: Tracking, night: Night, tmp_path: Path
) -> None:
    """It may keep more of them, and its rollbacks need those that only its own promotion history names."""
    other = changed(tracking, root=tmp_path / "other")
    logged = [replace(night, key=f"{day}" * 64, finished_at=night.finished_at + timedelta(day)) for day in range(3)]
    others, old, newest = (by.keep_and_log(each) for by, each in zip((other, tracking, tracking), logged, strict=True))
    reached = client(tracking)
    reached.delete_registered_model_alias("lstm-IBM", "challenger")
    for home, ended in ((tracking, [newest, old]), (other, [others])):
        assert _ids(retention.beyond_newest(reached, 0, [], home.is_own)) == [each.mlflow_run_id for each in ended]
    assert retention.beyond_newest(reached, 1, [], other.is_own) == ()
    past = reached, NOW + timedelta(days=200), []
    assert _ids(retention.outdated(*past, tracking.is_own)) == [old.mlflow_run_id]
    assert _ids(retention.outdated(*past, other.is_own)) == [others.mlflow_run_id]
    reached.delete_tag(others.mlflow_run_id or "", "stockml.ticker")  # as a person may, on its page
    assert _ids(retention.outdated(*past, tracking.is_own)) == [old.mlflow_run_id]


def test_the_nights_of_a_home_that_was_restored_from_a_backup_are_its_own(
    tracking: Tracking, night: Night, tmp_path: Path
) -> None:
    """Which does not hold the mark by which its runs were told apart."""
    logged = tracking.keep_and_log(night)
    restored = changed(tracking, root=tmp_path / "restored")
    reached = client(tracking)
    reached.delete_registered_model_alias("lstm-IBM", "challenger")
    assert retention.beyond_newest(reached, 0, [], restored.is_own) == ()
    write_night(logged, night_path(restored.home.nights, "IBM", logged.key))
    assert _ids(retention.beyond_newest(reached, 0, [], restored.is_own)) == [logged.mlflow_run_id]


def _ids(found: Iterable[retention.OldRun]) -> list[str]:
    return [run.run_id for run in found]


def test_a_trash_whose_files_a_server_refuses_to_remove_is_told_without_its_password(
    tracking: Tracking, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path}/mlflow.db"
    with changed(tracking, tracking_uri=database).client() as reached:
        run = reached.create_run(reached.create_experiment("old", artifact_location="mlflow-artifacts:/1"))
        reached.delete_run(run.info.run_id)
    with Loopback(whole(b"", 404)) as server, pytest.raises(TrackingUnavailable, match="`mlflow gc` failed") as told:
        empty_trash(database, server.address.replace("//", "//me:hidden@"), 0)
    assert "hidden" not in str(told.value)


def test_a_trash_that_cannot_be_emptied_says_why(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database at all")
    database = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(TrackingUnavailable, match=r"`mlflow gc` failed: .*file is not a database"):
        empty_trash(database, database, 1)
