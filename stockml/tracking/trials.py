"""A tuning trial in MLflow: one flat run, found by its study and number, under its study's tag.

Imported by `tracking` only; imports mlflow inside functions.
"""

import math
from typing import TYPE_CHECKING

from stockml.tracking.runs import milliseconds
from stockml.training.tuned_settings import TrialRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDY = "stockml.study"
NUMBER = "stockml.trial"


def log(client: "MlflowClient", experiment_id: str, trial: TrialRecord) -> str:
    """The trial's run: a new one, an unfinished one completed, or the finished one as it is. Returns its id."""
    from mlflow.entities import Metric, Param, RunTag

    same = f"tags.`{STUDY}` = '{trial.study}' AND tags.`{NUMBER}` = '{trial.number}'"
    found = client.search_runs([experiment_id], same, max_results=1)
    if found and found[0].info.status != "RUNNING":
        return str(found[0].info.run_id)
    start = milliseconds(trial.began)
    end = start + int(trial.seconds * 1000)
    tags = {STUDY: trial.study, NUMBER: str(trial.number), "ticker": trial.ticker, "state": trial.state}
    run = found[0] if found else client.create_run(experiment_id, start, tags, f"trial {trial.number}")
    steps = [("validation_loss", loss, end, epoch) for epoch, loss in enumerate(trial.losses, 1)]
    best = [] if trial.loss is None else [("lowest_validation_loss", trial.loss, end, 0)]
    client.log_batch(
        run.info.run_id,
        metrics=[Metric(*point) for point in [*steps, *best] if math.isfinite(point[1])],
        params=[Param(name, str(value)) for name, value in trial.settings.items()],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )
    client.set_terminated(run.info.run_id, "FAILED" if trial.state == "failed" else "FINISHED", end)
    return str(run.info.run_id)
