"""A search's trials are logged once, each as it ended."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from stockml.tracking import views
from stockml.tracking.client import Tracking
from stockml.tracking.study_runs import log_trial
from stockml.training.tuning import SPACE, State, TrialRecord
from tests.stockml.tracking.logged import NOW, changed, client, experiment, runs, unfilled


def test_so_are_the_trials_of_its_searches_each_logged_once_as_it_ended(
    tracking: Tracking, tmp_path: Path
) -> None:
    other = changed(tracking, root=tmp_path / "other")
    ends: tuple[tuple[State, float | None], ...] = (
        ("complete", 0.1),
        ("pruned", None),
        ("failed", None),
    )
    tried = dict.fromkeys(SPACE, 1)
    trials = [
        TrialRecord(
            "IBM",
            "s",
            number,
            3,
            state,
            tried,
            (0.2, 0.1),
            loss,
            0.1,
            NOW + timedelta(number),
            1.5,
            0.15,
        )
        for number, (state, loss) in enumerate(ends)
    ]
    for home, trial in zip(
        (other, tracking, tracking, tracking), (*trials, trials[-1]), strict=True
    ):
        log_trial(home, trial)
    logged = sorted(runs(tracking, "IBM/trials"), key=lambda run: str(run.info.run_name))
    assert [(run.info.run_name, run.info.status, run.data.tags["state"]) for run in logged] == [
        ("trial 1", "FINISHED", "complete"),
        ("trial 2", "FINISHED", "pruned"),
        ("trial 3", "FAILED", "failed"),
    ]
    assert {run.info.end_time - run.info.start_time for run in logged} == {1500}
    assert [run.data.metrics.get("lowest_validation_loss") for run in logged] == [0.1, None, None]
    curve = client(tracking).get_metric_history(logged[1].info.run_id, "validation_loss")
    assert {point.step: point.value for point in curve} == {1: 0.2, 2: 0.1}
    assert [unfilled(run, views.trials_view()) for run in logged] == [
        [],
        *[["metrics.`lowest_validation_loss`"]] * 2,
    ]
    page = experiment(tracking, "IBM/trials").experiment_id
    for tag in (views.NOTE, views.ARRANGED):
        client(tracking).delete_experiment_tag(page, tag)  # as an earlier version made it
    log_trial(other, trials[0])  # the search goes on after its process was killed in between
    assert experiment(tracking, "IBM/trials").tags[views.NOTE].startswith("IBM: one run per trial")
    client(tracking).set_experiment_tag(page, views.NOTE, "a person's")
    client(tracking).delete_experiment_tag(page, views.ARRANGED)  # written before an upgrade
    log_trial(tracking, replace(trials[0], study="another"))
    assert experiment(tracking, "IBM/trials").tags[views.NOTE] == "a person's"
    assert len(runs(tracking, "IBM/trials")) == len(trials) + 1
