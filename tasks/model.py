"""The model's steps: decide, train, evaluate. The library is imported where it trains."""

from datetime import date

from stockml.home import home
from stockml.pipeline import decide, evaluate
from stockml.settings import EvaluationSettings, Settings
from stockml.storage.receipts import DatasetReceipt, DecisionReceipt, EvaluationReceipt, ModelReceipt
from tasks.artifacts import EpochReport
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
