"""The live gain is that of a loop over forecasts and quantiles, pooled over tickers and tested by
months."""

import numpy as np
import pandas as pd
import pytest

from stockml.evaluation.distribution_scores import PairedLosses
from stockml.evaluation.live_gain import AT, KEPT, live_gains, live_losses
from stockml.forecasts.proper_scores import diebold_mariano
from stockml.models.regressions import LEVELS
from stockml.models.vintage_set import VintageSet
from stockml.models.vintage_store import SHIPPED
from stockml.prices.series import PriceSeries
from tests.support.recordings import recorded

SERIES = PriceSeries.from_bars(recorded("IBM"))
ORIGINS = np.arange(2_000, 2_400, 7)


def ridge(at: int, lead: int) -> np.ndarray:
    vintages = VintageSet.ending_before(SERIES.sessions[at + 1].item(), (SHIPPED,))
    quantiles: np.ndarray = vintages.simple_quantiles(SERIES, np.array([at]), np.array([lead]))[
        0, 0
    ]
    return quantiles


def scored(width: float, drift: float = 0.0) -> pd.DataFrame:
    """Live forecasts of closes by a network, as the ledger keeps them: a wider and higher ridge
    regression's."""
    rows = []
    for at in ORIGINS:
        for lead in (1, 2, 5, 20):
            close = SERIES.close[at]
            kept = close * np.exp(width * ridge(at, lead)[AT] + drift)
            said = {
                "lead": lead,
                "last_value": close,
                "session": pd.Timestamp(SERIES.sessions[at]),
                "actual": SERIES.close[at + lead] / close,
            }
            rows.append(said | dict(zip(KEPT, kept, strict=True)))
    return pd.DataFrame(rows).assign(timing="live", price="close", weight=1.0)


def test_losses_are_those_of_a_loop_at_the_ledgers_levels_whatever_the_location() -> None:
    found = live_losses(SERIES, scored(1.3, drift=0.01), (SHIPPED,))
    assert [*found] == [1, 5, 20]
    levels = LEVELS[AT]
    assert levels.tolist() == [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975]
    for lead, losses in found.items():
        for row, at in enumerate(ORIGINS[:10]):
            move, simple = np.log(SERIES.close[at + lead] / SERIES.close[at]), ridge(at, lead)[AT]
            for said, loss in ((1.3 * simple, losses.loss), (simple, losses.reference)):
                each = [
                    max(p * (move - q), (p - 1) * (move - q))
                    for p, q in zip(levels, said, strict=True)
                ]
                assert loss[row] == pytest.approx(np.mean(each))


def test_the_regressions_own_width_gains_nothing_and_only_live_closes_by_a_network_count() -> None:
    same = scored(1.0)
    for each in live_gains([live_losses(SERIES, same, (SHIPPED,))] * 2):
        assert each.gain == pytest.approx(0, abs=1e-12)
        assert (each.tickers, each.forecasts) == (2, 2 * len(ORIGINS))
    for other in ({"timing": "late"}, {"price": "mid"}, {"weight": 0.0}):
        assert live_losses(SERIES, same.assign(**other), (SHIPPED,)) == {}
    assert live_gains([{}]) == ()


@pytest.mark.parametrize(("months", "tested"), [(3, False), (4, True), (12, True)])
def test_the_test_is_of_months_of_all_tickers(months: int, tested: bool) -> None:
    rng = np.random.default_rng(2)
    days = np.arange("2020-01-01", "2021-01-01", dtype="datetime64[D]")
    month = days.astype("datetime64[M]").astype(int) % 12
    days, month = days[month < months], month[month < months]
    pairs = rng.uniform(0.5, 1.5, (3, 2, len(days)))
    [found] = live_gains([{5: PairedLosses(days, *pair, (0.0,))} for pair in pairs])
    loss, reference = (pairs / pairs[:, 1:].mean(axis=2, keepdims=True)).mean(axis=0)
    assert found.gain == pytest.approx(1 - loss.mean())
    assert (found.test is not None) is tested
    if found.test:
        blocks = [[each[month == m].mean() for m in range(months)] for each in (loss, reference)]
        expected = diebold_mariano(*map(np.array, blocks), 2)
        assert vars(found.test) == pytest.approx(vars(expected))
