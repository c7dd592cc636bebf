"""The live gain is that of a loop over forecasts and quantiles, pooled over tickers and tested by
months."""

import numpy as np
import pandas as pd
import pytest

from stockml.evaluation.distribution_scores import PairedLosses, panel_diebold_mariano
from stockml.evaluation.live_gain import AT, KEPT, live_gains, live_losses
from stockml.models.regressions import LEVELS
from stockml.models.vintage_set import VintageSet
from stockml.models.vintage_store import SHIPPED
from stockml.prices.series import PriceSeries
from tests.support.recordings import recorded

SERIES = PriceSeries.from_bars(recorded("IBM"))
ORIGINS = np.arange(2_000, 2_400, 7)


def ridge(at, lead):
    vintages = VintageSet.ending_before(SERIES.sessions[at + 1].item())
    return vintages.simple_quantiles(SERIES, np.array([at]), np.array([lead]))[0, 0]


def scored(width, drift=0.0):
    """Live forecasts of closes by a network, as the ledger keeps them: a wider and higher ridge
    regression's."""
    rows = []
    for at in ORIGINS:
        for lead in (1, 2, 5, 20):
            close = SERIES.close[at]
            kept = close * np.exp(width * ridge(at, lead)[AT] + drift)
            session, actual = pd.Timestamp(SERIES.sessions[at]), SERIES.close[at + lead] / close
            rows.append((lead, close, session, actual, *kept))
    columns = ["lead", "last_value", "session", "actual", *KEPT]
    steps = pd.DataFrame(rows, columns=columns)
    return steps.assign(timing="live", price="close", weight=1.0)


def test_losses_are_those_of_a_loop_at_the_ledgers_levels_whatever_the_location():
    found = live_losses(SERIES, scored(1.3, drift=0.01), (SHIPPED,))
    assert [*found] == [1, 5, 20]
    levels = LEVELS[AT]
    assert levels.tolist() == [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975]
    for lead, losses in found.items():
        for row, at in enumerate(ORIGINS[:10]):
            move, simple = np.log(SERIES.close[at + lead] / SERIES.close[at]), ridge(at, lead)[AT]
            for said, loss in ((1.3 * simple, losses.loss), (simple, losses.reference)):
                each = np.maximum(levels * (move - said), (levels - 1) * (move - said))
                assert loss[row] == pytest.approx(each.mean())


def test_the_regressions_own_width_gains_nothing_and_only_live_closes_by_a_network_count():
    same = scored(1.0)
    for each in live_gains([live_losses(SERIES, same, (SHIPPED,))] * 2):
        figures = (each.gain, each.tickers, each.forecasts)
        assert figures == pytest.approx((0, 2, 2 * len(ORIGINS)), abs=1e-12)
    for other in ({"timing": "late"}, {"price": "mid"}, {"weight": 0.0}):
        assert live_losses(SERIES, same.assign(**other), (SHIPPED,)) == {}
    assert live_gains([{}]) == ()


def test_the_test_is_of_months_of_all_tickers():
    for months, tested in ((3, False), (4, True), (12, True)):
        days = np.arange(
            "2020-01", np.datetime64("2020-01") + np.timedelta64(months, "M"), dtype="datetime64[D]"
        )
        pairs = np.random.default_rng(2).uniform(0.5, 1.5, (3, 2, len(days)))
        tickers = [PairedLosses(days, *pair, (0.0,)) for pair in pairs]
        [found] = live_gains([{5: each} for each in tickers])
        saved = [1 - each.loss.mean() / each.reference.mean() for each in tickers]
        assert found.gain == pytest.approx(np.mean(saved))
        assert found.test == panel_diebold_mariano(tickers, months=1)
        assert (found.test is not None) is tested
