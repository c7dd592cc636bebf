"""A night's run in MLflow: found by its key, begun or resumed, filled."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stockml.nights.record import Night
from stockml.tracking import run_content
from stockml.tracking.connection import MAX_RESULTS, without_retries

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

BATCH = 100  # of more at once, MLflow 3.17 refuses a model's metrics that it has already


def find(client: "MlflowClient", experiment_id: str, key: str) -> "Run | None":
    """The run of the night with this key."""
    runs = client.search_runs([experiment_id], f"tags.`stockml.key` = '{key}'", max_results=1)
    return next(iter(runs), None)


def begin_or_resume(
    client: "MlflowClient", experiment_id: str, night: Night, run: "Run | None"
) -> "Run":
    """The night's run, RUNNING: a new one, or that of a killed attempt."""
    if run is not None:
        client.update_run(run.info.run_id, status="RUNNING")
        return run
    start = milliseconds(night.finished_at) - int(night.seconds * 1000)
    with without_retries():
        return client.create_run(experiment_id, start, run_content.tags(night), night.run_name)


def fill(client: "MlflowClient", run: "Run", night: Night, model_id: str | None) -> None:
    """Log parameters, tags, metrics, the bars and the plots; again, it gives the same values.

    model_id: of the model that tonight's figures are of, by which MLflow ranks models.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    run_id, bars = run.info.run_id, Dataset(**run_content.dataset(night))
    client.log_inputs(
        run_id, datasets=[DatasetInput(bars, [InputTag("mlflow.data.context", "training")])]
    )
    note = run_content.description(night, run.info.experiment_id, run_id)
    points = run_content.points(night, milliseconds(night.finished_at))
    tags = {**run_content.tags(night), "mlflow.note.content": note}
    of_model: dict[str, Any] = {
        "model_id": model_id,
        "dataset_name": bars.name,
        "dataset_digest": bars.digest,
    }
    log_points(client, run_id, points, tags, run_content.params(night), **of_model)
    log_plots(client, run, night)
    client.log_text(run_id, run_content.scores(night), "scores.csv")
    client.log_text(run_id, run_content.night_json(night), "night.json")


def log_plots(client: "MlflowClient", run: "Run", night: Night) -> None:
    """Log the night's drawn figures."""
    if night.plots_folder and any(Path(night.plots_folder).glob("*.png")):
        client.log_artifacts(run.info.run_id, night.plots_folder, "plots")


def log_points(
    client: "MlflowClient",
    run_id: str,
    points: list[run_content.Point],
    tags: Mapping[str, str] | None = None,
    params: Mapping[str, object] | None = None,
    **of_model: Any,
) -> None:
    """Log in batches that MLflow accepts; again, it adds nothing.

    of_model: the model and the dataset that the points are of, as arguments of MLflow's `Metric`.
    """
    from mlflow.entities import Metric, Param, RunTag

    metrics = [Metric(*point, **of_model) for point in points]
    mlflow_params = [Param(name, str(value)) for name, value in (params or {}).items()]
    mlflow_tags = [RunTag(name, value) for name, value in (tags or {}).items()]
    client.log_batch(run_id, [], mlflow_params, mlflow_tags)
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics[start : start + BATCH])


def experiment_ids(client: "MlflowClient") -> dict[str, str]:
    """The ids of all experiments by name (tickers, pretrained networks, trials, tutorials), without
    `stockml`."""
    ours = "name LIKE 'stockml/%'"
    experiments = client.search_experiments(max_results=MAX_RESULTS, filter_string=ours)
    return {each.name.removeprefix("stockml/"): each.experiment_id for each in experiments}


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
