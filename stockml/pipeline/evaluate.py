"""The evaluation step: tonight's model and the champion it was decided beside, on the same origins."""

import hashlib
from datetime import date
from pathlib import Path

from stockml.evaluation.assessment import assess, write_assessment
from stockml.home import Home
from stockml.models.trained_model import load_model
from stockml.pipeline.decide import champion_folder
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.storage.files import sha256_of
from stockml.storage.receipts import DatasetReceipt, DecisionReceipt, EvaluationReceipt, ModelReceipt


def evaluate_night(
    home: Home,
    dataset: DatasetReceipt,
    decision: DecisionReceipt,
    model: ModelReceipt,
    settings: EvaluationSettings,
    *,
    upcoming: tuple[date, ...],
) -> EvaluationReceipt:
    """Score, judge, calibrate, and make the path to publish; everything lands in one folder named by its content."""
    champion = champion_folder(decision)
    assessment = assess(
        PriceSeries.read(Path(dataset.path)),
        load_model(Path(model.path)),
        load_model(champion) if champion else None,
        settings,
        upcoming,
        kept=model.mode == "keep",
    )
    name = f"{dataset.sha256} {decision.sha256} {model.sha256} {settings}"
    folder = home.evaluations / dataset.ticker / hashlib.sha256(name.encode()).hexdigest()[:16]
    write_assessment(assessment, folder)
    return EvaluationReceipt(dataset.ticker, str(folder), sha256_of(str(folder)) or "", dataset.session)
