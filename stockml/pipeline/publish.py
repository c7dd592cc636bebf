"""The last step: tonight's path goes into the ledger."""

from datetime import datetime
from pathlib import Path

from stockml.evaluation.assessment import read_assessment
from stockml.evaluation.evaluate import CHAMPION, LSTM
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import Home
from stockml.models.registry import Registry
from stockml.storage.receipts import EvaluationReceipt, LedgerReceipt, RunReceipt


def publish(home: Home, evaluation: EvaluationReceipt, run: RunReceipt, *, now: datetime) -> LedgerReceipt:
    """Add the night's forecast under its key, with the version of the model whose path it is; once a key."""
    assessment = read_assessment(Path(evaluation.path))
    version = _version(home, evaluation.ticker, assessment.publisher, run)
    entry = LedgerEntry(evaluation.ticker, run.key, now, assessment.forecast, run.run_id, version)
    return Ledger(home.ledger).publish(entry)


def _version(home: Home, ticker: str, publisher: str, run: RunReceipt) -> str | None:
    """Tonight's model, the champion that stayed, or none where a simple forecast is published."""
    if publisher == LSTM:
        return run.model_version
    champion = Registry(home.models).champion(ticker) if publisher == CHAMPION else None
    return champion.version if champion else None
