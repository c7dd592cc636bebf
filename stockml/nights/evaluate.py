"""The evaluation step: tonight's model and the champion of its decision, scored on the same
origins."""

import hashlib
from datetime import date
from pathlib import Path

from stockml.evaluation.assessment import assess, write_assessment
from stockml.evaluation.look_ahead import check_training
from stockml.home import HomePaths
from stockml.models.trained_model import load_model, same_forecast, vintage_folders
from stockml.nights.train import champion_of_decision
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.storage.files import sha256_of
from stockml.storage.receipts import (
    DatasetReceipt,
    DecisionReceipt,
    EvaluationReceipt,
    ModelReceipt,
)
from stockml.training.ticker_training import split_after_vintages


def evaluate_night(
    home: HomePaths,
    dataset: DatasetReceipt,
    decision: DecisionReceipt,
    model: ModelReceipt,
    settings: EvaluationSettings,
    *,
    upcoming: tuple[date, ...],
) -> EvaluationReceipt:
    """Score, judge, and make the forecast to publish; write all to one folder named by its
    inputs."""
    champion_folder, unreadable = champion_of_decision(decision)
    challenger = load_model(Path(model.path))
    champion = load_model(champion_folder) if champion_folder else None
    series = PriceSeries.read(Path(dataset.path))
    if decision.mode != "keep":
        check_training(series, challenger, champion if decision.mode == "fine-tune" else None)
    unseen = split_after_vintages(series, settings, vintage_folders(Path(model.path)))
    is_kept = decision.mode == "keep" or (
        champion is not None and same_forecast(challenger, champion)
    )
    assessment = assess(
        series,
        challenger,
        champion,
        settings,
        upcoming,
        unseen,
        kept=is_kept,
        unreadable=unreadable,
    )
    name = f"{dataset.sha256} {decision.sha256} {model.sha256} {settings}"
    folder = home.evaluations / dataset.ticker / hashlib.sha256(name.encode()).hexdigest()[:16]
    write_assessment(assessment, folder)
    return EvaluationReceipt(dataset.ticker, str(folder), sha256_of(folder) or "", dataset.session)
