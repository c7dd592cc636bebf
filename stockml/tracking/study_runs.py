"""MLflow's runs other than nights: pretrained networks, trials of a search, tutorial trainings;
each logged once."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from stockml.models.pretrained_network import PretrainedNetwork
from stockml.models.vintage_store import digest
from stockml.tracking import views
from stockml.tracking.client import Tracking
from stockml.tracking.connection import without_retries
from stockml.tracking.models import new_version
from stockml.tracking.run_content import image, metric_points
from stockml.tracking.runs import log_points, milliseconds
from stockml.training.tuning import TrialRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from stockml.evaluation.tutorial_report import TutorialReport
    from stockml.training.pretrain import PretrainProgress

PRETRAINED_MODEL = "lstm-pretrained"
SHA256, STUDY, TRIAL, TUTORIAL = (
    "stockml.sha256",
    "stockml.study",
    "stockml.trial",
    "stockml.tutorial",
)
CURVES = ("loss", "test_loss", "last_value_loss", "validation_loss", "correlation", "learning_rate")


def log_pretrained(
    tracking: Tracking,
    pretrained: PretrainedNetwork,
    path: Path,
    epochs: Sequence["PretrainProgress"],
    *,
    now: datetime,
) -> str:
    """Log the pretrained network and register it, tagged with its vintage, as a version of
    `lstm-pretrained`; returns the version."""
    about = (
        "Pretrained networks, each trained across tickers by `stockml pretrain`: one run per "
        "vintage, newest first. Losses: pinball, in EWMA 60 volatilities · √lead. What it gains "
        "on tickers that it learned from is no evidence of skill: `stockml backtest` measures "
        "that on later nights."
    )
    lock = FileLock(tracking.home.locks / "mlflow-pretrained.lock", timeout=60)
    with (
        tracking.study("pretrained", views.pretrained_view(), about) as (client, experiment_id),
        lock,
    ):
        sha256, vintage = digest(pretrained), f"{pretrained.through:%Y-%m}"
        versions = client.search_model_versions(
            f"name = '{PRETRAINED_MODEL}' AND tags.`{SHA256}` = '{sha256}'"
        )
        if versions:
            return str(versions[0].version)
        spent = round(1000 * sum(row.seconds for row in epochs))
        run = _run_of(
            client,
            experiment_id,
            {SHA256: sha256},
            milliseconds(now) - spent,
            f"pretrained network {vintage}",
        )
        at = run.info.start_time + spent  # by which MLflow knows a point again
        losses = ((f"training/loss, {row.member}", row.loss, row.epoch) for row in epochs)
        scores = ((name, value, 0) for name, value in pretrained.scores.items())
        points = [  # of a name, MLflow takes letters, digits, and a few marks
            (name.replace(",", "").replace("%", "percent"), value, at, step)
            for name, value, step in (*losses, *scores)
        ]
        counts = {
            "tickers": len(pretrained.tickers),
            "sessions": pretrained.sessions,
            "origins": pretrained.origins,
        }
        tags = {"vintage": vintage, "tickers": " ".join(pretrained.tickers)[:4_000]}
        log_points(client, run.info.run_id, points, tags, {"through": pretrained.through, **counts})
        client.log_artifact(run.info.run_id, str(path))
        client.set_terminated(run.info.run_id, "FINISHED", at)
        return new_version(
            client,
            PRETRAINED_MODEL,
            "One LSTM learned across tickers: how far a price spreads.",
            {},
            source=f"{client.get_run(run.info.run_id).info.artifact_uri}/{path.name}",
            run_id=run.info.run_id,
            tags={"vintage": vintage, SHA256: sha256, "tickers": str(len(pretrained.tickers))},
            description=f"Learned through {pretrained.through} across {len(pretrained.tickers)} "
            f"tickers, {pretrained.origins:,} origins. Daily bars in; out, quantiles of "
            "log(close at a lead / close), 1 to 50 sessions ahead, symmetric about 0.",
        )


def log_trial(tracking: Tracking, trial: TrialRecord) -> None:
    """Log a trial, identified by its study and number."""
    about = (
        f"{trial.ticker}: one run per trial of `stockml tune`, the lowest validation loss first; "
        "½ MSE of scaled prices. A trial above last_value_loss, no move, is worth nothing."
    )
    name = f"{trial.ticker}/trials"
    with tracking.study(name, views.trials_view(), about) as (client, experiment_id):
        start = milliseconds(trial.began)
        end = start + int(trial.seconds * 1000)
        identity = {STUDY: trial.study, TRIAL: str(trial.number)}
        run = _run_of(client, experiment_id, identity, start, f"trial {trial.number + 1}")
        if run.info.status == "RUNNING":
            of_no_move = {"last_value_loss": trial.last_value_loss}
            lowest = {} if trial.loss is None else {"lowest_validation_loss": trial.loss}
            points = metric_points(lowest, end)
            for epoch, loss in enumerate(trial.losses, 1):
                points += metric_points({"validation_loss": loss} | of_no_move, end, epoch)
            tags = {"ticker": trial.ticker, "state": trial.state}
            log_points(client, run.info.run_id, points, tags, trial.settings)
            client.set_terminated(
                run.info.run_id, "FAILED" if trial.state == "failed" else "FINISHED", end
            )


def log_tutorial(
    tracking: Tracking, report: "TutorialReport", plots: Path, *, now: datetime
) -> str:
    """Log a training, identified by its recipe, with the pictures in `plots`; returns the run's
    id."""
    about = (
        "The published tutorial: one run per training, with its pictures beside the page's "
        "figures. Losses: ½ MSE of scaled prices; an LSTM whose paths are above the last value's "
        "is worth nothing."
    )
    with tracking.study("tutorial", views.tutorial_view(), about) as (client, experiment_id):
        recipe = report.fitted.recipe
        name = f"{report.name} seed {recipe.settings.training.seed}"
        spent = round(1000 * sum(row["seconds"] for row in report.fitted.history))
        identity = {TUTORIAL: recipe.fingerprint(None)}
        run = _run_of(client, experiment_id, identity, milliseconds(now) - spent, name)
        run_id, at = str(run.info.run_id), run.info.start_time + spent
        if run.info.status != "FINISHED":
            pictures = [image(run_id, path.stem) for path in sorted(plots.glob("*.png"))]
            note = "\n".join([f"```\n{report.table()}\n```", *pictures])
            points = metric_points(report.figures(), at)
            for row in report.fitted.history:
                values = {
                    f"epoch/{curve}": row[curve] for curve in CURVES if row[curve] is not None
                }
                points += metric_points(values, at, row["epoch"])
            tags = {"share": report.name, "mlflow.note.content": note}
            log_points(client, run_id, points, tags, recipe.settings.flat())
            client.log_artifacts(run_id, str(plots), "plots")
            client.set_terminated(run_id, "FINISHED", at)
        return run_id


def _run_of(
    client: "MlflowClient", experiment_id: str, identity: Mapping[str, str], at: int, name: str
) -> "Run":
    """The run with these tags, perhaps a killed process's, else a new one."""
    query = " AND ".join(f"tags.`{tag}` = '{value}'" for tag, value in identity.items())
    runs = client.search_runs([experiment_id], query, max_results=1)
    with without_retries():
        return next(iter(runs), None) or client.create_run(experiment_id, at, dict(identity), name)
