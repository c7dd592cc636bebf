"""From the series to the champion: decide, train, evaluate, publish, log, promote. Libraries load where they work."""

from datetime import date, datetime
from pathlib import Path

from prefect.logging import get_run_logger

from stockml.errors import InvalidFile, TrackingUnavailable
from stockml.home import home
from stockml.nights.record import read_night
from stockml.pipeline import decide, evaluate, log, publish
from stockml.pipeline import promote as promotion
from stockml.settings import EvaluationSettings, Settings
from stockml.storage.receipts import (
    DatasetReceipt,
    DecisionReceipt,
    EvaluationReceipt,
    LedgerReceipt,
    ModelReceipt,
    PromotionReceipt,
    RunReceipt,
)
from stockml.tracking.client import Tracking
from tasks.artifacts import EpochReport, mlflow_pages
from tasks.caching import step


@step("decide", modules=("pipeline.decide",), task_run_name="decide {dataset.ticker} {dataset.session}")
def decide_mode(dataset: DatasetReceipt, settings: Settings) -> DecisionReceipt:
    """Retrain, fine-tune or keep, with the reason; a repeated night decides as the first time."""
    return decide.decide_mode(home(), dataset, settings)


@step("train", modules=("pipeline.train",), task_run_name="{decision.mode} {dataset.ticker} {dataset.session}")
def train_model(dataset: DatasetReceipt, decision: DecisionReceipt, settings: Settings) -> ModelReceipt:
    """Train as decided; the tutorial's network goes on from the last epoch where an earlier run was interrupted."""
    from stockml.pipeline import train

    report = EpochReport(dataset.ticker, str(dataset.session))
    model = train.train_night(home(), dataset, decision, settings, on_epoch=report.on_epoch)
    report.ended()
    return model


@step("evaluate", modules=("pipeline.evaluate",), task_run_name="evaluate {dataset.ticker} {dataset.session}")
def evaluate_model(
    dataset: DatasetReceipt,
    decision: DecisionReceipt,
    model: ModelReceipt,
    settings: EvaluationSettings,
    upcoming: tuple[date, ...],
) -> EvaluationReceipt:
    """Score tonight's model beside the champion and the baselines, and make the path to publish."""
    return evaluate.evaluate_night(home(), dataset, decision, model, settings, upcoming=upcoming)


@step(
    "publish",
    modules=("pipeline.publish",),
    aside=("now",),
    task_run_name="publish {evaluation.ticker} {evaluation.session}",
)
def publish_forecast(evaluation: EvaluationReceipt, key: str, now: datetime) -> LedgerReceipt:
    """Put tonight's path into the ledger, once a key."""
    return publish.publish(home(), evaluation, key, now=now)


@step(
    "log run",
    modules=("pipeline.log",),
    aside=("now", "flow_run_url", "seconds"),
    task_run_name="log {done.dataset.ticker} {done.dataset.session}",
)
def log_run(done: log.StepReceipts, now: datetime, seconds: float, flow_run_url: str | None) -> RunReceipt:
    """Draw the plots and log the night to MLflow under its key; while MLflow is away the record waits here.

    seconds: how long the night took until now.
    """
    return log.log_night(
        home(),
        done,
        now=now,
        seconds=seconds,
        flow_run_url=flow_run_url,
        pages=mlflow_pages(home()),
        missed=lambda error: get_run_logger().warning("%s; what is missing is kept and logged on the next run", error),
    )


@step("promote", modules=("pipeline.promote",), aside=("now",), task_run_name="promote {model.ticker} {model.session}")
def promote(model: ModelReceipt, run: RunReceipt, now: datetime) -> PromotionReceipt:
    """Make the challenger champion if the gate said so, and let MLflow's alias follow."""
    verdict = read_night(Path(run.path)).verdict
    if verdict is None:
        raise InvalidFile(run.path, "expected the gate's verdict in a night's record, found none; run that night again")
    receipt = promotion.promote(home(), model, run, promoted=verdict.promoted, reason=verdict.reason, at=now)
    logger = get_run_logger()
    logger.info("%s: %s", "promoted" if receipt.promoted else "not promoted", receipt.reason)
    if receipt.promoted and run.model_version:
        try:
            Tracking.of(home()).mirror_champion(model.ticker, run.model_version)
        except TrackingUnavailable as error:
            logger.warning("MLflow's alias follows later: %s", error)
    return receipt
