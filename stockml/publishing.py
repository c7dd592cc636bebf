"""The last step: tonight's path goes into the ledger."""

from datetime import datetime
from pathlib import Path

from stockml.assessment import read_assessment
from stockml.home import Home
from stockml.ledger import Ledger, LedgerEntry
from stockml.receipts import EvaluationReceipt, LedgerReceipt, RunReceipt


def publish(home: Home, evaluation: EvaluationReceipt, run: RunReceipt, *, now: datetime) -> LedgerReceipt:
    """Add the night's forecast under its key; the same night again adds nothing."""
    forecast = read_assessment(Path(evaluation.path)).forecast
    entry = LedgerEntry(evaluation.ticker, run.key, now, forecast, run.run_id, run.model_version)
    return Ledger(home.ledger).publish(entry)
