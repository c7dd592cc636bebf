"""The last step: tonight's path goes into the ledger."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from stockml.errors import TrackingUnavailable
from stockml.evaluation.assessment import read_assessment
from stockml.evaluation.evaluate import CHAMPION, LSTM
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import Home
from stockml.models.registry import Registry
from stockml.storage.receipts import EvaluationReceipt, LedgerReceipt, RunReceipt
from stockml.tracking.client import Tracking


def publish(home: Home, evaluation: EvaluationReceipt, run: RunReceipt, *, now: datetime) -> LedgerReceipt:
    """Add the night's forecast under its key, with the version of the model whose path it is; once a key."""
    assessment = read_assessment(Path(evaluation.path))
    version = _version(home, evaluation.ticker, assessment.publisher, run)
    entry = LedgerEntry(evaluation.ticker, run.key, now, assessment.forecast, run.run_id, version)
    return Ledger(home.ledger).publish(entry)


def _version(home: Home, ticker: str, publisher: str, run: RunReceipt) -> str | None:
    """Tonight's model, the champion that stayed, or none where a simple forecast is published.

    A champion's version is what this night's MLflow knows it by: another MLflow has counted others. Where it is away,
    or has no such version, there is none.
    """
    champion = Registry(home.models).champion(ticker) if publisher == CHAMPION and run.run_id else None
    if champion is None:
        return run.model_version if publisher == LSTM else None
    with suppress(TrackingUnavailable):
        return Tracking.of(home).version_of(ticker, champion.key)
    return None
