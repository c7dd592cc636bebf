"""A search's trials are logged once, each as it ended."""

from dataclasses import replace
from datetime import timedelta

from stockml.tracking import views
from stockml.tracking.study_runs import log_trial
from stockml.training.tuning import SPACE, TrialRecord
from tests.stockml.tracking.logged import NOW, changed, client, runs, unfilled


def test_the_trials_of_a_search_are_each_logged_once_as_it_ended(tracking, tmp_path):
    tried = dict.fromkeys(SPACE, 1)
    complete = TrialRecord(
        "IBM", "s", 0, 3, "complete", tried, (0.2, 0.1), 0.1, 0.1, NOW, 1.5, 0.15
    )
    pruned, failed = (
        replace(complete, number=at, state=end, loss=None, began=NOW + timedelta(at))
        for at, end in ((1, "pruned"), (2, "failed"))
    )
    log_trial(changed(tracking, root=tmp_path / "other"), complete)
    for trial in (pruned, failed, failed):
        log_trial(tracking, trial)
    logged = sorted(runs(tracking, "IBM/trials"), key=lambda run: run.info.run_name)
    loss = "lowest_validation_loss"
    for run, *told, lacking in zip(
        logged,
        ("trial 1", "trial 2", "trial 3"),
        ("FINISHED", "FINISHED", "FAILED"),
        ("complete", "pruned", "failed"),
        (0.1, None, None),
        ([], [f"metrics.`{loss}`"], [f"metrics.`{loss}`"]),
        strict=True,
    ):
        state, lowest = run.data.tags["state"], run.data.metrics.get(loss)
        assert [run.info.run_name, run.info.status, state, lowest] == told
        assert run.info.end_time - run.info.start_time == 1500
        assert unfilled(run, views.trials_view()) == lacking
    curve = client(tracking).get_metric_history(logged[1].info.run_id, "validation_loss")
    assert {point.step: point.value for point in curve} == {1: 0.2, 2: 0.1}
    log_trial(tracking, replace(complete, study="another"))
    assert len(runs(tracking, "IBM/trials")) == 4
