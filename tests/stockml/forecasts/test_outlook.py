"""An outlook agrees with a fine integral over the quantiles, and says what is usual only with
enough history."""

import numpy as np
import pytest
from scipy import stats

from stockml.forecasts.outlook import Outlook, annualised, chance_above, outlooks
from stockml.models.regressions import LEVELS

NORMAL = stats.norm.ppf(LEVELS)


@pytest.mark.parametrize(("daily", "lead"), [(0.01, 1), (0.02, 20), (0.04, 50)])
@pytest.mark.parametrize("shape", [NORMAL, stats.t(4).ppf(LEVELS)], ids=["normal", "heavy"])
def test_the_volatility_is_that_of_the_chances_of_all_moves(shape, daily, lead):
    """Their tail included, for a share's moves have one: a normal's would make volatilities 5 % too
    low."""
    quantiles = daily * np.sqrt(lead) * shape
    moves = quantiles[-1] * np.append(np.linspace(0, 5, 2_000), np.geomspace(5.01, 1_000, 2_000))
    chances = [chance_above(quantiles, each) + 1 - chance_above(quantiles, -each) for each in moves]
    variance = np.trapezoid(2 * moves * chances, moves)
    expected = np.sqrt(variance * 252 / lead)
    assert annualised(quantiles, lead) == pytest.approx(expected, rel=0.006)


def test_chances_follow_the_quantiles_and_fall_with_the_fourth_power_of_the_distance_beyond_them():
    quantiles = 0.01 + 0.1 * NORMAL
    for place, level in enumerate(LEVELS):
        assert chance_above(quantiles, float(quantiles[place])) == pytest.approx(1 - level)
    assert chance_above(quantiles, 0.0) == pytest.approx(stats.norm.cdf(0.1), abs=0.002)
    for each in (quantiles, quantiles + 0.02 * NORMAL**2):  # whose tail is longer above
        low, median, high = each[[0, 10, -1]]
        for times in (1.0, 1.5, 10.0):
            beyond = LEVELS[0] / times**4
            assert chance_above(each, median + times * (high - median)) == pytest.approx(beyond)
            assert chance_above(each, median + times * (low - median)) == pytest.approx(1 - beyond)
    both = chance_above(np.stack([quantiles, 0.1 * NORMAL]), 0.0)
    assert tuple(both) == (chance_above(quantiles, 0.0), 0.5)


def test_each_span_is_described_at_its_own_lead():
    leads = np.sqrt(np.arange(1, 51))[:, None]
    earlier = np.arange(1, 101)[:, None, None] * 1e-4 * leads * NORMAL
    tonight = 0.001 * np.arange(50)[:, None] + 0.00305 * leads * NORMAL
    found = outlooks(earlier, tonight)
    assert [each.sessions for each in found] == [5, 20, 50]
    for each in found:
        quantiles, before = tonight[each.sessions - 1], earlier[:, each.sessions - 1]
        chances = [
            chance_above(quantiles, np.log(1 + move))
            + 1
            - chance_above(quantiles, np.log(1 - move))
            for move in (0.05, 0.1)
        ]
        assert each == Outlook(
            each.sessions,
            volatility=pytest.approx(annualised(quantiles, each.sessions)),
            usual=pytest.approx(np.quantile(annualised(before, each.sessions), [0.1, 0.9])),
            percentile=30.0,
            rise=chance_above(quantiles, 0.0),
            beyond=pytest.approx(chances),
        )
    assert [each.sessions for each in outlooks(earlier[:, :12], tonight[:12])] == [5]


def test_its_place_among_earlier_outlooks_is_put_in_words():
    for percentile, said in (
        (None, "too short a history to say"),
        (0.0, "calmer than usual, 1st percentile"),
        (12.0, "calmer than usual, 12th percentile"),
        (33.0, "calmer than usual, 33rd percentile"),
        (39.6, "as usual, 40th percentile"),  # the word goes by the number beside it
        (60.4, "as usual, 60th percentile"),
        (92.0, "wilder than usual, 92nd percentile"),
        (100.0, "wilder than usual, 99th percentile"),
    ):
        assert Outlook(5, 0.2, None, percentile, 0.5, ()).place == said


def test_a_price_that_never_moved_has_no_volatility_and_no_usual_one_with_few_earlier_forecasts():
    for nights, usual, percentile in ((0, None, None), (19, None, None), (20, (0, 0), 50)):
        [found] = outlooks(np.zeros((nights, 5, 21)), np.zeros((5, 21)))
        assert found == Outlook(5, 0.0, usual, percentile, 0.0, (0.0, 0.0))
