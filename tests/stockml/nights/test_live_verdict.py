"""The live verdict is one sentence, beside the backtests', and says when there is none."""

from datetime import date

from stockml.evaluation.live_gain import LiveGain
from stockml.evaluation.significance import DieboldMariano
from stockml.home import HomePaths
from stockml.nights.universe import _worded, live_verdict
from tests.support.publishing import FRIDAY, publish, record
from tests.support.recordings import recorded


def test_without_a_networks_forecast_that_came_due_there_is_none(home: HomePaths) -> None:
    record(home, recorded("IBM").tail(300), date(2013, 3, 2))
    publish(home, FRIDAY)  # of mid prices
    assert live_verdict(home, ["IBM", "KO"]) == "Live: no network's forecast has come due yet."


def test_each_lead_has_its_gain_its_p_value_and_the_backtests() -> None:
    gains = [
        LiveGain(1, 3, 300, 0.0123, DieboldMariano(-2.0, 0.04, 0.98)),
        LiveGain(20, 1, 12, -0.001, None),
    ]
    said = _worded(gains, {1: 0.004})
    assert "after 1 session +1.2% (p 0.04; 300 forecasts of 3 shares, +0.4% in backtests)" in said
    assert "after 20 sessions -0.1% (too few months to test; 12 forecasts of 1 share)" in said
