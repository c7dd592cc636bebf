"""The gate judges whole distributions, within their noise: better, or as good and fresher, or the
champion stays."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from stockml.evaluation import promotion_gate
from stockml.evaluation.distribution_scores import CrpsComparison, DistributionTable
from stockml.evaluation.path_scores import (
    CHAMPION,
    LAST_CLOSE,
    LSTM,
    PUBLISHED,
    WITHOUT_NETWORK,
    evaluate,
)
from stockml.evaluation.promotion_gate import Incumbent, verdict
from stockml.forecasts.proper_scores import DieboldMariano
from stockml.models.regressions import REGRESSION, RIDGE
from stockml.settings import EvaluationSettings

FRESH, OLD, UNREADABLE = Incumbent(19), Incumbent(20), Incumbent(3, "it cannot be read")
judge = partial(
    promotion_gate.judge, kept=False, has_network=True, incumbent=None, replace_after=20
)


def rival(skill: float, p_value: float | None, reference: str = CHAMPION) -> CrpsComparison:
    """The challenger's distribution compared with this reference: skill > 0 where it is better."""
    test = None
    if p_value is not None:
        worse = p_value / 2 if skill < 0 else 1 - p_value / 2
        test = DieboldMariano(-np.sign(skill), p_value, worse)
    return CrpsComparison(LSTM, reference, False, skill, (skill,), test)


def table(
    against: CrpsComparison | None = None, *, over_simple: CrpsComparison | None = None
) -> DistributionTable:
    """Tonight's table; by default, the challenger is as good as the ridge regression."""
    found = over_simple or rival(0.01, 0.2, RIDGE)
    return DistributionTable((1,), {}, {}, {}, against, found, None, {}, {LSTM: found})


@pytest.mark.parametrize(
    ("skill", "p_value", "if_fresh", "if_old", "said"),
    [
        (0.02, 0.01, True, True, "better than the champion: CRPS skill +2.00%"),
        (0.02, 0.30, False, True, "the difference could be luck"),
        (-0.02, 0.30, False, True, "the difference could be luck"),
        (-0.02, 1e-9, False, False, "worse: CRPS skill -2.00%"),
        (0.02, None, False, True, "too few to test"),
        (0.0, 1.0, False, True, "the difference could be luck"),
        (4e-6, 0.0001, False, True, "too small a difference"),
        (-4e-6, 0.0001, False, True, "too small a difference"),
    ],
)
def test_the_better_or_as_good_and_fresher_challenger_becomes_champion(
    skill: float, p_value: float | None, if_fresh: bool, if_old: bool, said: str
) -> None:
    for incumbent, promoted in ((FRESH, if_fresh), (OLD, if_old)):
        found, reason = judge(table(rival(skill, p_value)), incumbent=incumbent)
        assert found is promoted
        assert said in reason
    assert not judge(table(), incumbent=FRESH)[0]  # it made no error, so nothing is compared
    assert judge(table(), incumbent=OLD)[0]


def test_the_age_at_which_a_champion_gives_way_is_a_setting() -> None:
    same = table(rival(0.001, 0.5))
    assert judge(same, incumbent=Incumbent(5), replace_after=5)[0]
    assert not judge(same, incumbent=Incumbent(40), replace_after=41)[0]


def test_a_champion_without_a_score_is_reported_and_its_successor_is_not_called_the_first() -> None:
    promoted, reason = judge(table(), incumbent=UNREADABLE)
    assert promoted
    assert "it cannot be read" in reason
    assert "first" not in reason


@pytest.mark.parametrize(
    ("skill", "p_value", "promoted"),
    [(0.0, 1.0, True), (-0.02, 0.06, True), (-0.3, None, True), (-0.02, 0.04, False)],
)
def test_a_model_with_no_champion_beside_it_need_only_be_no_worse_than_without_a_network(
    skill: float, p_value: float | None, promoted: bool
) -> None:
    found, reason = judge(table(over_simple=rival(skill, p_value, RIDGE)))
    assert found is promoted
    assert reason.startswith("first model" if promoted else "worse than the ridge regression")
    assert ("too new to judge" in reason) == (p_value is None)


@pytest.mark.parametrize("incumbent", [None, FRESH, OLD, UNREADABLE])
def test_nobody_is_replaced_by_a_challenger_that_is_none(incumbent: Incumbent | None) -> None:
    worse = table(rival(0.02, 0.01), over_simple=rival(-0.3, 0.001, RIDGE))
    for promoted, reason in (
        judge(worse, incumbent=incumbent),
        judge(table(), has_network=False, incumbent=incumbent),
        judge(replace(table(), over_simple={}), incumbent=incumbent),  # no price moved
    ):
        assert not promoted
        assert reason.endswith(": the champion stays" if incumbent else ": no champion yet")
    assert judge(table(), kept=True, incumbent=incumbent)[0] is False


def test_the_numbers_are_those_of_the_evaluation_and_the_distributions() -> None:
    origins = np.arange(500, 1_940, 10)
    mid = 50 * np.exp(np.cumsum(np.random.default_rng(2).normal(0.0, 0.015, 2_000)))
    last, actual = mid[origins, None], mid[origins[:, None] + np.arange(1, 51)]
    knowing = {LSTM: 0.3, CHAMPION: 0.2, PUBLISHED: 0.25, WITHOUT_NETWORK: 0.1}
    paths = {name: last + share * (actual - last) for name, share in knowing.items()}
    found = evaluate(mid, origins, paths, EvaluationSettings(scale_sessions=500), {}, close=mid)
    measured = replace(table(), whole={LSTM: rival(-0.01, None, REGRESSION)})
    kept = verdict(True, "because", found, measured)
    adds, numbers = found.comparison(PUBLISHED, WITHOUT_NETWORK), dict(kept.numbers)
    assert adds is not None
    assert (kept.promoted, kept.reason) == (True, "because")
    assert numbers == {
        "origins": len(origins),
        "challenger_mse": found.scores[LSTM].mse,
        "challenger_skill": found.scores[LSTM].skill,
        "champion_mse": found.scores[CHAMPION].mse,
        "champion_skill": found.scores[CHAMPION].skill,
        "published_skill": found.scores[PUBLISHED].skill,
        "last_close_mse": found.scores[LAST_CLOSE].mse,
        "network_adds": adds.skill_difference,
        "network_adds_p_value": adds.p_value,
        "crps_skill": -0.01,
        "network_adds_crps": 0.01,
        "network_adds_crps_p_value": 0.2,
    }
