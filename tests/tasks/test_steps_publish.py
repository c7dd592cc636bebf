"""The forecast of an evaluation goes into the ledger once under its night's key, whoever publishes
it again."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from stockml.errors import InvalidFile
from stockml.evaluation.assessment import write_assessment
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.storage.files import sha256_of
from stockml.storage.receipts import EvaluationReceipt
from tasks.steps import publish_forecast
from tests.support.nights import assessed

DAY, EVENING = date(2013, 2, 28), datetime(2013, 3, 1, 4, tzinfo=UTC)


def evaluated(home: HomePaths) -> EvaluationReceipt:
    write_assessment(assessed("IBM", DAY), folder := home.evaluations / "IBM" / "0123456789abcdef")
    return EvaluationReceipt("IBM", str(folder), sha256_of(folder) or "", DAY)


def test_a_forecast_is_published_once_under_its_nights_key(home: HomePaths) -> None:
    first = publish_forecast.fn(evaluated(home), "a" * 64, now=EVENING)
    assert first.is_reusable()
    again = publish_forecast.fn(evaluated(home), "a" * 64, now=EVENING + timedelta(hours=1))
    assert again == first, "a repeated night"
    (entry,) = Ledger(home.ledger).entries("IBM")
    assert (entry.key, entry.forecast.origin, entry.published_at) == ("a" * 64, DAY, EVENING)
    assert entry.forecast.path == pytest.approx(assessed("IBM", DAY).forecast.path)


def test_an_evaluation_that_is_gone_publishes_nothing(home: HomePaths) -> None:
    receipt = EvaluationReceipt("IBM", str(home.evaluations / "IBM" / "absent"), "", DAY)
    with pytest.raises(InvalidFile, match="absent"):
        publish_forecast.fn(receipt, "a" * 64, now=EVENING)
    assert not Path(home.ledger).exists()
