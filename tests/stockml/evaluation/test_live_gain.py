"""The live gain is that of a loop over forecasts and quantiles, pooled over tickers and tested by
months."""

import numpy as np
import pandas as pd
import pytest

from stockml.evaluation.distribution_scores import PairedLosses
from stockml.evaluation.live_gain import AT, KEPT, live_gains, live_losses
from stockml.evaluation.significance import diebold_mariano
from stockml.models.lead_grid import LEVELS
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
                "timing": "live",
                "price": "close",
                "weight": 1.0,
                "lead": lead,
                "last_value": close,
            }
            said |= {
                "session": pd.Timestamp(SERIES.sessions[at]),
                "actual": SERIES.close[at + lead] / close,
            }
            rows.append(said | dict(zip(KEPT, kept, strict=True)))
    return pd.DataFrame(rows)


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
    days = days[days.astype("datetime64[M]") < np.datetime64("2020-01") + months]
    tickers = [
        {
            5: PairedLosses(
                days, rng.uniform(0.5, 1.5, len(days)), rng.uniform(0.6, 1.6, len(days)), (0.0,)
            )
        }
        for _ in range(3)
    ]
    [found] = live_gains(tickers)
    assert (found.test is not None) is tested
    relative = [
        (each[5].loss / each[5].reference.mean(), each[5].reference / each[5].reference.mean())
        for each in tickers
    ]
    assert found.gain == pytest.approx(1 - np.mean([loss for loss, _ in relative]))
    if found.test:
        month = days.astype("datetime64[M]")
        blocks = [
            [np.mean([pair[side][month == m] for pair in relative]) for m in np.unique(month)]
            for side in (0, 1)
        ]
        expected = diebold_mariano(np.array(blocks[0]), np.array(blocks[1]), 2)
        assert expected
        assert (found.test.p_value, found.test.freedom) == (
            pytest.approx(expected.p_value),
            expected.freedom,
        )
