"""The forecast of an evaluation goes into the ledger once under its night's key, whoever publishes
it again."""

import shutil
from datetime import UTC, date, datetime, timedelta

import pytest

from stockml.errors import InvalidFile
from stockml.evaluation.assessment import write_assessment
from stockml.forecasts.ledger import Ledger
from stockml.storage.files import sha256_of
from stockml.storage.receipts import EvaluationReceipt
from tasks.steps import publish_forecast
from tests.support.nights import assessed

DAY, EVENING = date(2013, 2, 28), datetime(2013, 3, 1, 4, tzinfo=UTC)


def test_a_forecast_is_published_once_under_its_nights_key(home):
    folder, forecast = home.evaluations / "IBM" / "0123456789abcdef", assessed("IBM", DAY).forecast
    write_assessment(assessed("IBM", DAY), folder)
    evaluated = EvaluationReceipt("IBM", str(folder), sha256_of(folder) or "", DAY)
    first = publish_forecast.fn(evaluated, "a" * 64, now=EVENING)
    assert first.is_reusable()
    again = publish_forecast.fn(evaluated, "a" * 64, now=EVENING + timedelta(hours=1))
    assert again == first, "a repeated night"
    (entry,) = Ledger(home.ledger).entries("IBM")
    assert (entry.key, entry.forecast.origin, entry.published_at) == ("a" * 64, DAY, EVENING)
    assert entry.forecast.path == pytest.approx(forecast.path)
    shutil.rmtree(folder)
    with pytest.raises(InvalidFile, match="0123456789abcdef"):
        publish_forecast.fn(evaluated, "b" * 64, now=EVENING)
    assert Ledger(home.ledger).entries("IBM") == (entry,)
