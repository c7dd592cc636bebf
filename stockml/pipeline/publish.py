"""The publish step: tonight's forecast goes into the ledger before anything is sent to MLflow, which might refuse."""

from datetime import datetime
from pathlib import Path

from stockml.evaluation.assessment import read_assessment
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import HomePaths
from stockml.storage.receipts import EvaluationReceipt, Receipt


def publish(home: HomePaths, evaluation: EvaluationReceipt, key: str, *, now: datetime) -> Receipt:
    """Add the night's forecast once under its key, by which its MLflow run and model version can be found."""
    assessment = read_assessment(Path(evaluation.path))
    return Ledger(home.ledger).publish(LedgerEntry(evaluation.ticker, key, now, assessment.forecast))
