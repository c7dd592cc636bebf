"""Past outlooks are scored against what came true, as loops over the bars do, and rare events
decide nothing."""

import numpy as np
import pytest

from stockml.evaluation.outlook_scores import MIN_ORIGINS, outlook_scores, touches
from stockml.forecasts.outlook import SPANS, annualised, chance_above, lowest_lows, touch_chance
from stockml.forecasts.proper_scores import diebold_mariano
from stockml.prices.series import PriceSeries
from tests.support.recordings import recorded
from tests.support.walks import constant

SERIES = PriceSeries.from_bars(recorded("AAPL"))
ORIGINS = np.arange(1000, 1900, 10)
LEADS = np.arange(1, 51)
NORMAL = np.array([-2, -1.6, *np.linspace(-1.3, 1.3, 17), 1.6, 2])


def wide(daily):
    """(m, 50, 21) the same distribution after each origin, but for widths that differ from origin
    to origin."""
    widths = daily * (1 + 0.3 * np.sin(ORIGINS))
    return widths[:, None, None] * np.sqrt(LEADS)[:, None] * NORMAL


PUBLISHED, SIMPLE = wide(0.02), wide(0.03)
STATEMENTS = outlook_scores(SERIES, ORIGINS, PUBLISHED, SIMPLE)
FOUND = {(each.what, each.sessions): each for each, _ in STATEMENTS}
GAINS = {(each.what, each.sessions): gain for each, gain in STATEMENTS}
RARE = {("over 5% lower", 5), ("over ±10%", 5), ("over ±5%", 50)}  # or the contrary is


def test_every_statement_of_the_outlook_is_scored_at_every_span():
    whats = ("volatility", "rise", "over 5% lower", "over ±5%", "over ±10%")
    assert list(FOUND) == [(what, span) for span in SPANS for what in whats]
    for each, gain in outlook_scores(SERIES, ORIGINS, PUBLISHED[:, :20], None):
        assert (each.network_adds, each.test, gain, each.sessions < 50) == (None, None, None, True)
    standing = outlook_scores(constant(300), np.arange(100, 200, 10), PUBLISHED[:10], None)
    assert {each.what for each, _ in standing} == {*whats} - {"volatility"}


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize(
    ("what", "up", "down"),
    [
        ("rise", 1.0, 1e-300),
        ("over 5% lower", np.inf, 0.95),
        ("over ±5%", 1.05, 0.95),
        ("over ±10%", 1.1, 0.9),
    ],
)
def test_a_chance_is_scored_by_what_came_true(span, what, up, down):
    moved = SERIES.close[ORIGINS + span] / SERIES.close[ORIGINS]
    happened = (moved > up) | (moved < down)
    both = np.array([PUBLISHED[:, span - 1], SIMPLE[:, span - 1]])
    chances = chance_above(both, np.log(up)) + 1 - chance_above(both, np.log(down))
    found, said, rate = FOUND[what, span], chances[0].mean(), happened.mean()
    losses = (chances - happened) ** 2
    expected = (said, rate, losses[0].mean(), rate * (1 - rate))
    figures = (found.said, found.came_true, found.score, found.constant)
    assert figures == pytest.approx(expected)
    # otherwise a forecast that calls it rarer wins by 40 %, p < 0.01, until it happens
    if (what, span) in RARE:
        assert min(happened.sum(), (~happened).sum()) < MIN_ORIGINS
        assert (found.network_adds, found.test, GAINS[what, span]) == (None, None, None)
        return
    gain = GAINS[what, span]
    assert gain.sessions.tolist() == SERIES.sessions[ORIGINS].tolist()
    np.testing.assert_allclose([gain.loss, gain.reference], losses)
    assert gain.skills == (found.network_adds,)
    assert found.network_adds == pytest.approx(1 - losses[0].mean() / losses[1].mean())
    test = diebold_mariano(*losses, 5)  # as for the longest span, every 10 sessions
    assert vars(found.test) == pytest.approx(vars(test))


@pytest.mark.parametrize("span", SPANS)
def test_a_volatility_is_scored_against_the_closes_that_followed(span):
    close = np.log(SERIES.close)
    actual = np.array([252 * np.mean(np.diff(close[at : at + span + 1]) ** 2) for at in ORIGINS])
    said = annualised(PUBLISHED[:, span - 1], span) ** 2
    found = FOUND["volatility", span]
    expected = np.sqrt(said.mean()), np.sqrt(actual.mean())
    assert (found.said, found.came_true) == pytest.approx(expected)
    assert found.score == pytest.approx((actual / said - np.log(actual / said) - 1).mean())
    assert found.constant < found.score  # in hindsight
    assert found.network_adds is not None


def test_chances_of_a_touch_are_scored_over_the_own_frequency_as_a_loop_scores_them():
    near, far = touches(SERIES, ORIGINS, PUBLISHED, PUBLISHED[-1])
    assert (near.sessions, near.fall, far.fall) == (20, 0.05, 0.1)
    fell = lowest_lows(SERIES)[:-20] <= np.log(0.95)
    happened, own = fell[ORIGINS], [fell[max(0, at - 2519) : at - 19].mean() for at in ORIGINS]
    loss = np.mean((touch_chance(PUBLISHED[:, 19], 0.05) - happened) ** 2)
    assert near.skill == pytest.approx(1 - loss / np.mean((np.array(own) - happened) ** 2))
    assert near.happened == pytest.approx(happened.mean())
    assert near.own_frequency == pytest.approx(fell[-2500:].mean())
    assert far.chance == touch_chance(PUBLISHED[-1, 19], 0.1) < near.chance


def test_a_touch_is_not_scored_where_it_was_rare_or_the_history_is_short():
    for series, at, expected in (
        (constant(400), np.arange(300, 350, 10), (None, 5, 0, 0)),
        (SERIES.until(100), np.array([40]), (None, 0, None, None)),
    ):
        for each in touches(series, at, PUBLISHED[: len(at)], PUBLISHED[0]):
            assert (each.skill, each.origins, each.happened, each.own_frequency) == expected
    assert touches(SERIES, ORIGINS, PUBLISHED[:, :19], PUBLISHED[0, :19]) == ()
