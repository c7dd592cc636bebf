"""Past outlooks are scored against what came true, as loops over the bars do, and rare events
decide nothing."""

import numpy as np
import pytest

from stockml.evaluation.outlook_scores import MIN_ORIGINS, outlook_scores, touches
from stockml.forecasts.outlook import SPANS, annualised, chance_above, touch_chance
from stockml.forecasts.proper_scores import diebold_mariano
from stockml.prices.series import PriceSeries
from tests.support.recordings import recorded
from tests.support.walks import constant

SERIES = PriceSeries.from_bars(recorded("AAPL"))
ORIGINS = np.arange(1000, 1900, 10)
LEADS = np.arange(1, 51)
NORMAL = np.array([-2, -1.6, *np.linspace(-1.3, 1.3, 17), 1.6, 2])


def wide(daily: float) -> np.ndarray:
    """(m, 50, 21) the same distribution after each origin, but for widths that differ from origin
    to origin."""
    widths = daily * (1 + 0.3 * np.sin(ORIGINS))
    return widths[:, None, None] * np.sqrt(LEADS)[:, None] * NORMAL


PUBLISHED, SIMPLE = wide(0.02), wide(0.03)
STATEMENTS = outlook_scores(SERIES, ORIGINS, PUBLISHED, SIMPLE)
FOUND = {(each.what, each.sessions): each for each, _ in STATEMENTS}


def test_every_statement_of_the_outlook_is_scored_at_every_span() -> None:
    whats = ("volatility", "rise", "over 5% lower", "over ±5%", "over ±10%")
    assert list(FOUND) == [(what, span) for span in SPANS for what in whats]
    alone = outlook_scores(SERIES, ORIGINS, PUBLISHED[:, :20], None)
    assert {each.sessions for each, _ in alone} == {5, 20}
    assert {(each.network_adds, each.test, gain) for each, gain in alone} == {(None, None, None)}
    standing = outlook_scores(constant(300), np.arange(100, 200, 10), PUBLISHED[:10], SIMPLE[:10])
    assert {each.what for each, _ in standing} == {*whats} - {"volatility"}


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize(
    ("what", "up", "down"),
    [
        ("rise", 1.0, None),
        ("over 5% lower", None, 0.95),
        ("over ±5%", 1.05, 0.95),
        ("over ±10%", 1.1, 0.9),
    ],
)
def test_a_chance_is_scored_as_a_loop_scores_it(
    span: int, what: str, up: float | None, down: float | None
) -> None:
    happened, chances = [], []
    for row, origin in enumerate(ORIGINS):
        ratio = SERIES.close[origin + span] / SERIES.close[origin]
        happened.append(bool((up and ratio > up) or (down and ratio < down)))
        pair = [0.0, 0.0]
        for i, each in enumerate((PUBLISHED, SIMPLE)):
            if up:
                pair[i] += float(chance_above(each[row, span - 1], np.log(up)))
            if down:
                pair[i] += 1 - float(chance_above(each[row, span - 1], np.log(down)))
        chances.append(pair)
    found, rate = FOUND[what, span], np.mean(happened)
    said, losses = np.mean(chances, axis=0)[0], (np.array(chances).T - happened) ** 2
    expected = (said, rate, losses[0].mean(), rate * (1 - rate))
    figures = (found.said, found.came_true, found.score, found.constant)
    assert figures == pytest.approx(expected)
    # otherwise a forecast that calls it rarer wins by 40 %, p < 0.01, until it happens
    if min(sum(happened), len(happened) - sum(happened)) < MIN_ORIGINS:
        assert (found.network_adds, found.test) == (None, None)
        return
    assert found.network_adds == pytest.approx(1 - losses[0].mean() / losses[1].mean())
    test = diebold_mariano(*losses, 5)  # as for the longest span, every 10 sessions
    assert test
    assert found.test
    assert found.test.p_value == pytest.approx(test.p_value)


def test_there_are_events_too_rare_to_gain_by() -> None:
    assert FOUND["over ±10%", 5].network_adds is None
    assert FOUND["over ±5%", 20].network_adds is not None


@pytest.mark.parametrize("span", SPANS)
def test_a_volatility_is_scored_against_the_closes_that_followed(span: int) -> None:
    close = np.log(SERIES.close)
    actual = np.array([252 * np.mean(np.diff(close[at : at + span + 1]) ** 2) for at in ORIGINS])
    said = annualised(PUBLISHED[:, span - 1], span) ** 2
    found = FOUND["volatility", span]
    expected = np.sqrt(said.mean()), np.sqrt(actual.mean())
    assert (found.said, found.came_true) == pytest.approx(expected)
    assert found.score == pytest.approx((actual / said - np.log(actual / said) - 1).mean())
    assert found.constant < found.score  # in hindsight
    assert found.network_adds is not None


def test_the_losses_behind_a_gain_are_kept_beside_it_for_a_test_across_tickers() -> None:
    for score, gain in STATEMENTS:
        if gain is None:
            assert score.network_adds is None
            continue
        assert gain.sessions.tolist() == SERIES.sessions[ORIGINS].tolist()
        assert gain.skills == (score.network_adds,)
        assert gain.loss.mean() == pytest.approx(score.score)
        assert 1 - gain.loss.mean() / gain.reference.mean() == pytest.approx(score.network_adds)


def test_chances_of_a_touch_are_scored_over_the_own_frequency_as_a_loop_scores_them() -> None:
    near, far = touches(SERIES, ORIGINS, PUBLISHED, PUBLISHED[-1])
    assert (near.sessions, near.fall, far.fall) == (20, 0.05, 0.1)
    lowest = np.array(
        [min(SERIES.low[at + 1 : at + 21]) / SERIES.close[at] for at in range(len(SERIES) - 20)]
    )
    happened = lowest[ORIGINS] <= 0.95
    own = [np.mean(lowest[max(0, origin - 2519) : origin - 19] <= 0.95) for origin in ORIGINS]
    loss = np.mean((touch_chance(PUBLISHED[:, 19], 0.05) - happened) ** 2)
    reference = np.mean((np.array(own) - happened) ** 2)
    assert near.skill == pytest.approx(1 - loss / reference)
    assert near.happened == pytest.approx(happened.mean())
    assert near.own_frequency == pytest.approx(np.mean(lowest[-2500:] <= 0.95))
    assert far.chance == touch_chance(PUBLISHED[-1, 19], 0.1) < near.chance


def test_a_touch_is_not_scored_where_it_was_rare_or_the_history_is_short() -> None:
    standing = touches(constant(400), np.arange(300, 350, 10), PUBLISHED[:5], PUBLISHED[0])
    short = touches(SERIES.until(100), np.array([40]), PUBLISHED[:1], PUBLISHED[0])
    for found, expected in ((standing, (None, 5, 0, 0)), (short, (None, 0, None, None))):
        for each in found:
            assert (each.skill, each.origins, each.happened, each.own_frequency) == expected
    assert touches(SERIES, ORIGINS, PUBLISHED[:, :19], PUBLISHED[0, :19]) == ()
