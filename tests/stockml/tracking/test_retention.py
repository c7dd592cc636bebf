"""What the clean-up may take from MLflow: a person's own runs, nights whose model they registered, other homes' stay.

A model that was cleared away and is champion again comes back.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository as artifacts

from stockml.nights.record import Night, night_path, write_night
from stockml.tracking import retention
from stockml.tracking.client import Tracking
from stockml.tracking.runs import INSTALLATION
from stockml.tracking.study_runs import log_trial
from stockml.tracking.views import NOTE
from stockml.training.tuned_settings import State, TrialRecord
from tests.stockml.tracking.logged import NOW, changed, client, experiment, runs, versions


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


def test_so_are_the_trials_of_its_searches_each_logged_once_as_it_ended(tracking: Tracking, tmp_path: Path) -> None:
    other = changed(tracking, root=tmp_path / "other")
    ends: tuple[tuple[State, float | None], ...] = (("complete", 0.1), ("pruned", None), ("failed", None))
    trials = [
        TrialRecord("IBM", "s", number, 3, state, {}, (0.2, 0.1), loss, 0.1, NOW + timedelta(number), 1.5)
        for number, (state, loss) in enumerate(ends)
    ]
    for home, trial in zip((other, tracking, tracking, tracking), (*trials, trials[-1]), strict=True):
        log_trial(home, trial)
    logged = sorted(runs(tracking, "IBM/trials"), key=lambda run: str(run.info.run_name))
    assert [(run.info.run_name, run.info.status, run.data.tags["state"]) for run in logged] == [
        ("trial 0", "FINISHED", "complete"),
        ("trial 1", "FINISHED", "pruned"),
        ("trial 2", "FAILED", "failed"),
    ]
    assert {run.info.end_time - run.info.start_time for run in logged} == {1500}
    assert [run.data.metrics.get("lowest_validation_loss") for run in logged] == [0.1, None, None]
    curve = client(tracking).get_metric_history(logged[1].info.run_id, "validation_loss")
    assert {point.step: point.value for point in curve} == {1: 0.2, 2: 0.1}
    for home, ended in ((tracking, "trial 1"), (other, "trial 0")):
        old = retention.outdated(client(tracking), NOW + timedelta(days=200), [], home.is_own)
        assert [run.name for run in old] == [ended]
    client(tracking).update_run(old[0].run_id, status="RUNNING")
    assert retention.outdated(client(tracking), NOW + timedelta(days=200), [], other.is_own) == ()
    page = experiment(tracking, "IBM/trials").experiment_id
    client(tracking).delete_experiment_tag(page, NOTE)  # as an earlier version made it
    log_trial(other, trials[0])  # the search goes on after its process was killed in between
    assert experiment(tracking, "IBM/trials").tags[NOTE].startswith("IBM: one run per trial")
    client(tracking).set_experiment_tag(page, NOTE, "a person's")
    log_trial(tracking, replace(trials[0], study="another"))
    assert experiment(tracking, "IBM/trials").tags[NOTE] == "a person's"
    assert len(again := runs(tracking, "IBM/trials")) == len(trials) + 1
    assert {run.info.run_id: run.info.status for run in again}[old[0].run_id] == "FINISHED"


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
