"""A GJR-GARCH's widths equal those of the package that fits it, and use nothing that came later."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from stockml.errors import RowUnavailable, TooFewBars
from stockml.evaluation.garch import gjr_garch_widths
from stockml.prices.series import PriceSeries
from tests.support.walks import altered_after, constant, walk, with_prices

LEADS, AT = np.array([1, 5, 50]), np.arange(1_100, 1_250, 5)


def clustered(n: int) -> PriceSeries:
    """A price whose moves come in clusters, larger after a fall."""
    rng, moves, variance = np.random.default_rng(3), np.zeros(n), 1.0
    for t in range(n):
        moves[t] = np.sqrt(variance) * rng.standard_t(6) * np.sqrt(4 / 6)
        variance = 0.05 + (0.05 + 0.1 * (moves[t] < 0)) * moves[t] ** 2 + 0.85 * variance
    close = 50 * np.exp(np.cumsum(moves) / 100)
    return PriceSeries(walk(n).sessions, close, close * 1.004, close / 1.004, close, walk(n).volume)


SERIES, LONG = clustered(1_300), walk(2_600, seed=6)


def oracle(learned_from: int, origin: int) -> np.ndarray:
    """(3,) widths from arch's own variance forecasts, summed; session 0 has no return."""
    from arch import arch_model

    returns = 100 * np.log(SERIES.close[1 : origin + 1] / SERIES.close[:origin])
    model = {"p": 1, "o": 1, "q": 1, "dist": "t", "rescale": False}
    parameters = arch_model(returns[:learned_from], **model).fit(disp="off", show_warning=False).params
    variances = arch_model(returns, **model).fix(parameters).forecast(horizon=50).variance.to_numpy()[-1]
    return np.sqrt([variances[:lead].sum() for lead in LEADS]) / 100


def test_widths_are_archs_own_forecasts_summed_over_the_leads_and_fitted_once_a_year() -> None:
    found = gjr_garch_widths(SERIES, AT, LEADS)
    for origin, learned_from in ((1_100, 1_000), (1_245, 1_000)):
        np.testing.assert_allclose(found[origin == AT][0], oracle(learned_from, origin), rtol=1e-9)
    np.testing.assert_allclose(gjr_garch_widths(SERIES, np.array([1_260]), LEADS)[0], oracle(1_250, 1_260), rtol=1e-9)


@pytest.mark.parametrize("t", [AT[0], AT[12]])
def test_a_later_bar_changes_nothing(t: int) -> None:
    before, after = (gjr_garch_widths(each, AT, LEADS) for each in (SERIES, altered_after(SERIES, t)))
    late = t < AT
    np.testing.assert_array_equal(after[~late], before[~late])
    assert (after[late] != before[late]).all()


def test_a_fall_widens_more_than_a_rise() -> None:
    def after(move: float) -> np.ndarray:
        times = np.ones(len(SERIES))
        times[AT[-1] :] = SERIES.close[AT[-1] - 1] / SERIES.close[AT[-1]] * np.exp(move)
        return gjr_garch_widths(with_prices(SERIES, times), AT, LEADS)[-1]

    assert (after(-0.03) > after(0.03)).all()


def test_too_few_sessions_and_a_price_that_never_moves_are_refused_with_the_reason() -> None:
    with pytest.raises(TooFewBars, match="501 sessions for a GJR-GARCH of the ticker's own, found 500"):
        gjr_garch_widths(SERIES, np.array([499]), LEADS)
    with pytest.raises(RowUnavailable, match="GJR-GARCH expected a price that moves"):
        gjr_garch_widths(constant(1_300), AT, LEADS)


def test_a_fit_that_does_not_converge_gives_no_row_rather_than_widths_of_any_size() -> None:
    """As after half a year without trades: its widths were three hundred times those of the days before."""
    still = {
        name: np.where(np.abs(np.arange(2_600) - 1_265) < 65, LONG.close[1_200], getattr(LONG, name))
        for name in ("open", "high", "low", "close")
    }
    with pytest.raises(RowUnavailable, match="GJR-GARCH expected a fit that converges"):
        gjr_garch_widths(replace(LONG, **still), np.array([1_600]), LEADS)
    assert gjr_garch_widths(LONG, np.array([1_600]), LEADS)[0, 0] < 0.02


def test_without_the_extra_a_reason_replaces_the_row_and_the_others_remain() -> None:
    """In a process of its own, without `arch`."""
    code = """
import sys
sys.modules["arch"] = None
from datetime import date
import numpy as np
from stockml.evaluation.simple_distributions import IN_BACKTESTS, simple_distributions
from stockml.models.vintage_set import VintageSet
from tests.support.walks import walk
vintages, at, leads = VintageSet.ending_before(date(2006, 1, 1)), np.arange(2_200, 2_300, 5), np.array([1, 5])
rows, reasons = simple_distributions(walk(2_600), at, leads, vintages.regression, names=IN_BACKTESTS)
print(len(rows), reasons)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.startswith("5 {'GJR-GARCH': \"GJR-GARCH needs the extra `garch`"), found
