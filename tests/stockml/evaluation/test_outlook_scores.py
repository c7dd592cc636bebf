"""Past outlooks are scored against what came true, as loops over the bars do, and rare events
decide nothing."""

import numpy as np
import pytest

from stockml.evaluation.distribution_scores import PairedLosses, panel_diebold_mariano
from stockml.evaluation.outlook_scores import (
    MIN_ORIGINS,
    OutlookScore,
    outlook_lines,
    outlook_scores,
    touches,
)
from stockml.evaluation.significance import diebold_mariano
from stockml.forecasts.outlook import SPANS, annualised, chance_above
from stockml.forecasts.touch import touch_chance
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


def scores(published: np.ndarray, simple: np.ndarray | None) -> dict[tuple[str, int], OutlookScore]:
    return {
        (each.what, each.sessions): each
        for each, _ in outlook_scores(SERIES, ORIGINS, published, simple)
    }


PUBLISHED, SIMPLE = wide(0.02), wide(0.03)
FOUND = scores(PUBLISHED, SIMPLE)


def test_every_statement_of_the_outlook_is_scored_at_every_span() -> None:
    whats = ("volatility", "rise", "over 5% lower", "over ±5%", "over ±10%")
    assert list(FOUND) == [(what, span) for span in SPANS for what in whats]
    assert {span for _, span in scores(PUBLISHED[:, :20], None)} == {5, 20}


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize(("what", "move"), [("over ±5%", 0.05), ("over ±10%", 0.1)])
def test_a_chance_of_a_large_move_is_scored_as_a_loop_scores_it(
    span: int, what: str, move: float
) -> None:
    happened, losses, ends = list[bool](), [], np.log([1 + move, 1 - move])
    for row, origin in enumerate(ORIGINS):
        ratio = SERIES.close[origin + span] / SERIES.close[origin]
        happened.append(ratio > 1 + move or ratio < 1 - move)
        up, down = (
            np.array([chance_above(each[row, span - 1], end) for each in (PUBLISHED, SIMPLE)])
            for end in ends
        )
        losses.append((up + 1 - down - happened[-1]) ** 2)
    found, rate, (loss, other) = FOUND[what, span], np.mean(happened), np.array(losses).T
    assert (found.came_true, found.score) == pytest.approx((rate, loss.mean()))
    assert found.constant == pytest.approx(rate * (1 - rate))
    if MIN_ORIGINS <= sum(happened) <= len(ORIGINS) - MIN_ORIGINS:
        assert found.network_adds == pytest.approx(1 - loss.mean() / other.mean())
        test = diebold_mariano(loss, other, 5)  # as of 50 sessions, every 10th an origin
        assert found.test is not None
        assert test is not None
        assert found.test.p_value == pytest.approx(test.p_value)


def test_the_chance_of_a_fall_is_scored_by_how_often_the_price_fell() -> None:
    fell = SERIES.close[ORIGINS + 20] / SERIES.close[ORIGINS] < 0.95
    chance = 1 - chance_above(PUBLISHED[:, 19], np.log(0.95))
    found = FOUND["over 5% lower", 20]
    assert (found.said, found.came_true) == pytest.approx((chance.mean(), fell.mean()))
    assert found.score == pytest.approx(((chance - fell) ** 2).mean())


@pytest.mark.parametrize("span", SPANS)
def test_a_volatility_is_scored_against_the_closes_that_followed(span: int) -> None:
    close = np.log(SERIES.close)
    actual = np.array([252 * np.mean(np.diff(close[at : at + span + 1]) ** 2) for at in ORIGINS])
    said = annualised(PUBLISHED[:, span - 1], span) ** 2
    found = FOUND["volatility", span]
    assert found.said == pytest.approx(np.sqrt(said.mean()))
    assert found.came_true == pytest.approx(np.sqrt(actual.mean()))
    assert found.score == pytest.approx((actual / said - np.log(actual / said) - 1).mean())
    assert found.constant < found.score  # in hindsight
    assert found.network_adds is not None


def test_the_losses_behind_a_gain_are_kept_beside_it_for_a_test_across_tickers() -> None:
    found = outlook_scores(SERIES, ORIGINS, PUBLISHED, SIMPLE)
    for score, gain in found:
        if gain is None:
            assert score.network_adds is None
            continue
        assert gain.sessions.tolist() == SERIES.sessions[ORIGINS].tolist()
        assert gain.skills == (score.network_adds,)
        assert gain.loss.mean() == pytest.approx(score.score)
        assert 1 - gain.loss.mean() / gain.reference.mean() == pytest.approx(score.network_adds)
    assert all(gain is None for _, gain in outlook_scores(SERIES, ORIGINS, PUBLISHED, None))


def test_without_a_network_nothing_is_compared() -> None:
    assert all(
        each.network_adds is None and each.test is None for each in scores(PUBLISHED, None).values()
    )


def test_an_event_that_hardly_ever_came_true_makes_no_gain() -> None:
    """Otherwise a forecast that calls it rarer wins by 40 %, p < 0.01, until it happens."""
    assert FOUND["over ±10%", 5].came_true * len(ORIGINS) < MIN_ORIGINS
    assert FOUND["over ±10%", 5].network_adds is None
    assert FOUND["over ±5%", 20].network_adds is not None


def test_a_share_that_stands_still_has_no_volatility_to_score() -> None:
    origins = np.arange(100, 200, 10)
    standing = outlook_scores(constant(300), origins, PUBLISHED[:10], SIMPLE[:10])
    assert {each.what for each, _ in standing} == {"rise", "over 5% lower", "over ±5%", "over ±10%"}


def test_a_line_is_the_mean_over_tickers_and_a_gain_that_over_those_that_have_one() -> None:
    sessions, none = SERIES.sessions[ORIGINS], np.ones(len(ORIGINS))
    gains = [
        PairedLosses(sessions, none - gain * np.sin(ORIGINS), none, (gain,))
        for gain in (0.005, 0.0, -0.01, 0.045)
    ]
    said = [
        OutlookScore("rise", 5, 0.5, rate, 0.2 + rate, 0.1, None, None)
        for rate in (0.25, 0.5, 0.75, 1.0, 1.0)
    ]
    volatility = OutlookScore("volatility", 5, 0.3, 0.2, 0.5, 0.4, None, None)
    found = outlook_lines(
        [[(score, gain)] for score, gain in zip(said, [*gains, None], strict=True)]
    )
    (line,) = found
    assert (line.what, line.sessions, line.tickers, line.compared) == ("rise", 5, 5, 4)
    assert (line.said, line.came_true, line.score, line.constant) == pytest.approx(
        (0.5, 0.7, 0.9, 0.1)
    )
    assert (line.network_adds, line.share) == pytest.approx((1.0, 50.0))
    test = panel_diebold_mariano(gains)
    assert test is not None
    assert line.p_value == test.p_value
    both = outlook_lines([[(said[0], gains[0]), (volatility, None)], [(volatility, None)]])
    assert [(each.what, each.tickers, each.compared) for each in both] == [
        ("rise", 1, 1),
        ("volatility", 2, 0),
    ]
    assert (both[1].network_adds, both[1].share, both[1].p_value) == (None, None, None)


def test_chances_of_a_touch_are_scored_over_the_own_frequency_as_a_loop_scores_them() -> None:
    near, far = touches(SERIES, ORIGINS, PUBLISHED, PUBLISHED[-1])
    assert (near.sessions, near.fall, far.fall) == (20, 0.05, 0.1)
    losses, frequencies, happened = [], list[float](), list[bool]()
    lowest = [
        min(SERIES.low[at + 1 : at + 21]) / SERIES.close[at] for at in range(len(SERIES) - 20)
    ]
    for row, origin in enumerate(ORIGINS):
        frequencies.append(
            float(np.mean([low <= 0.95 for low in lowest[max(0, origin - 2519) : origin - 19]]))
        )
        happened.append(lowest[origin] <= 0.95)
        losses.append((float(touch_chance(PUBLISHED[row, 19], 0.05)) - happened[-1]) ** 2)
    reference = np.mean((np.array(frequencies) - happened) ** 2)
    assert (near.skill, near.happened) == pytest.approx(
        (1 - np.mean(losses) / reference, np.mean(happened))
    )
    assert near.own_frequency == pytest.approx(np.mean([low <= 0.95 for low in lowest[-2500:]]))
    assert far.chance == touch_chance(PUBLISHED[-1, 19], 0.1) < near.chance


def test_a_touch_is_not_scored_where_it_was_rare_or_the_history_is_short() -> None:
    standing = touches(constant(400), np.arange(300, 350, 10), PUBLISHED[:5], PUBLISHED[0])
    assert [(each.skill, each.origins, each.happened, each.own_frequency) for each in standing] == [
        (None, 5, 0, 0)
    ] * 2
    short = touches(SERIES.until(100), np.array([40]), PUBLISHED[:1], PUBLISHED[0])
    assert [(each.skill, each.origins, each.happened, each.own_frequency) for each in short] == [
        (None, 0, None, None)
    ] * 2
    assert touches(SERIES, ORIGINS, PUBLISHED[:, :19], PUBLISHED[0, :19]) == ()
