"""A tutorial's run in MLflow: one a training, with its figures, its curve an epoch, and the page's pictures.

Imported by `tracking` only; imports mlflow inside functions.
"""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from stockml.tracking.run_content import metric_points
from stockml.tracking.runs import log_points, milliseconds

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from stockml.evaluation.tutorial_report import TutorialReport

KEY = "stockml.tutorial"
CURVES = ("loss", "test_loss", "last_value_loss", "validation_loss", "correlation", "learning_rate")


def log(client: "MlflowClient", experiment_id: str, report: "TutorialReport", plots: Path, now: datetime) -> str:
    """The training's run: the finished one as it is, an unfinished one completed, or a new one. Returns its id."""
    from mlflow.entities import Param, RunTag

    recipe, at = report.fitted.recipe, milliseconds(now)
    key = recipe.fingerprint(None)
    found = client.search_runs([experiment_id], f"tags.`{KEY}` = '{key}'", max_results=1)
    if found and found[0].info.status == "FINISHED":
        return str(found[0].info.run_id)
    seed = recipe.settings.training.seed
    run = found[0] if found else client.create_run(experiment_id, at, {KEY: key}, f"{report.name} seed {seed}")
    run_id = str(run.info.run_id)
    note = "\n".join(
        [f"```\n{report.table()}\n```", *(_image(run_id, path.name) for path in sorted(plots.glob("*.png")))]
    )
    settings = [Param(name, str(value)) for name, value in recipe.settings.flat().items()]
    client.log_batch(run_id, params=settings, tags=[RunTag("share", report.name), RunTag("mlflow.note.content", note)])
    curves = [
        point
        for row in report.fitted.history
        for point in metric_points({f"epoch/{n}": row[n] for n in CURVES if row[n] is not None}, at, row["epoch"])
    ]
    log_points(client, run_id, [*curves, *metric_points(report.figures(), at)])
    client.log_artifacts(run_id, str(plots), "plots")
    client.set_terminated(run_id, "FINISHED", at)
    return run_id


def _image(run_id: str, name: str) -> str:
    return f"![{name}](get-artifact?path=plots%2F{name}&run_uuid={run_id})"
