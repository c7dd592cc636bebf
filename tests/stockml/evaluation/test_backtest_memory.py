"""A backtest's memory does not grow with its nights."""

import tracemalloc

import pytest

from stockml.evaluation.backtest import Span, backtest
from stockml.settings import EvaluationSettings, Settings
from tests.support.walks import walk

pytestmark = pytest.mark.slow


@pytest.mark.campaign
def test_a_night_that_is_over_keeps_only_its_forecast() -> None:
    """That is 17 kB of two forecasts; those from its past origins, in the same arrays, are 550
    kB."""
    settings = Settings(evaluation=EvaluationSettings(test_sessions=200, validation_sessions=200))
    series = walk(1_400, seed=6)

    def run(nights: int) -> None:
        span = Span(series.sessions[860].item(), series.sessions[859 + nights].item(), every=1)
        backtest("ABC", series, span, settings)

    run(20)  # reads what all others find cached
    tracemalloc.start()
    run(30)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
