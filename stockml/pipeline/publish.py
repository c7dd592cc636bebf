"""The publish step: tonight's path goes into the ledger, before MLflow is told anything that it might refuse."""

from datetime import datetime
from pathlib import Path

from stockml.evaluation.assessment import read_assessment
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import Home
from stockml.storage.receipts import EvaluationReceipt, LedgerReceipt


def publish(home: Home, evaluation: EvaluationReceipt, key: str, *, now: datetime) -> LedgerReceipt:
    """Add the night's forecast under its key, once. The run and the version that come of it are found by that key."""
    assessment = read_assessment(Path(evaluation.path))
    return Ledger(home.ledger).publish(LedgerEntry(evaluation.ticker, key, now, assessment.forecast))
