"""The gate judges the whole distribution, with its noise: better, as good and fresher, or the champion stays."""

from dataclasses import replace

import numpy as np
import pytest

from stockml.evaluation.distribution_scores import CrpsComparison
from stockml.evaluation.evaluate import CHAMPION, LAST_CLOSE, LSTM, PUBLISHED, WITHOUT_NETWORK, evaluate
from stockml.evaluation.metrics import Evaluation
from stockml.evaluation.promotion_gate import NO_SKILL, Incumbent, judge, publishes, verdict
from stockml.evaluation.significance import DieboldMariano
from stockml.settings import EvaluationSettings

SETTINGS = EvaluationSettings(scale_sessions=500)
ORIGINS = np.arange(500, 1_940, 10)
MID = 50 * np.exp(np.cumsum(np.random.default_rng(2).normal(0.0, 0.015, 2_000)))
ACTUAL = MID[ORIGINS[:, None] + np.arange(1, 51)]
LAST = np.repeat(MID[ORIGINS, None], 50, axis=1)
FRESH, OLD = Incumbent(19), Incumbent(20)


def knowing(share: float) -> np.ndarray:
    """A path that knows `share` of what then happens; below 0 it goes the wrong way."""
    return LAST + share * (ACTUAL - LAST)


def tonight(challenger: float, champion: float | None = None, **others: float) -> Evaluation:
    shares = {LSTM: challenger} | ({} if champion is None else {CHAMPION: champion}) | others
    return evaluate(MID, ORIGINS, {name: knowing(share) for name, share in shares.items()}, SETTINGS)


def rival(skill: float, p_value: float | None) -> CrpsComparison:
    """The challenger's distribution against the champion's: > 0 where it is better."""
    test = None
    if p_value is not None:
        worse = p_value / 2 if skill < 0 else 1 - p_value / 2
        test = DieboldMariano(-np.sign(skill), p_value, worse)
    return CrpsComparison(LSTM, CHAMPION, False, skill, (skill,), test)


@pytest.mark.parametrize(
    ("skill", "p_value", "incumbent", "promoted", "said"),
    [
        (0.02, 0.01, FRESH, True, "better than the champion: CRPS +2.00% against the champion's"),
        (0.02, 0.01, OLD, True, "better than the champion"),
        (0.02, 0.30, FRESH, False, "within the noise: CRPS +2.00% against the champion's on the same origins, p 0.30"),
        (0.02, 0.30, OLD, True, "within the noise, and the champion is 20 sessions old"),
        (-0.02, 0.30, FRESH, False, "the champion of 19 sessions ago stays"),
        (-0.02, 0.30, OLD, True, "within the noise, and the champion is 20 sessions old"),
        (-0.02, 0.01, FRESH, False, "worse: CRPS -2.00%"),
        (-0.02, 0.01, OLD, False, "worse: CRPS -2.00%"),
        (0.02, None, FRESH, False, "too few to test"),
        (0.02, None, OLD, True, "too few to test"),
        (0.0, 1.0, FRESH, False, "within the noise"),
    ],
)
def test_who_becomes_champion(
    skill: float, p_value: float | None, incumbent: Incumbent, promoted: bool, said: str
) -> None:
    found, reason = judge(tonight(0.2, 0.2), incumbent=incumbent, rival=rival(skill, p_value))
    assert found is promoted
    assert said in reason


@pytest.mark.parametrize(("incumbent", "promoted"), [(FRESH, False), (OLD, True)])
def test_a_champion_that_made_no_error_has_no_comparison_and_gives_way_to_age_alone(
    incumbent: Incumbent, promoted: bool
) -> None:
    found, reason = judge(tonight(0.2, 0.2), incumbent=incumbent)
    assert found is promoted
    assert reason.startswith("no comparison")


def test_the_path_alone_decides_nothing() -> None:
    """A lower error of the path, the old rule, neither promotes nor keeps out."""
    better, worse = tonight(0.8, 0.1), tonight(0.1, 0.8)
    assert not judge(better, incumbent=FRESH, rival=rival(-0.02, 0.01))[0]
    assert judge(worse, incumbent=FRESH, rival=rival(0.02, 0.01))[0]


@pytest.mark.parametrize("p_value", [0.0001, 0.2, 1.0])
@pytest.mark.parametrize("skill", [4e-6, -4e-6])
def test_a_difference_of_a_few_millionths_promotes_nobody_however_regular_it_is(skill: float, p_value: float) -> None:
    found = tonight(0.2, 0.2 - np.sign(skill) * 8e-6)
    mse, champion = (found.scores[name].mse or 0.0 for name in (LSTM, CHAMPION))
    assert 0 < abs(champion / mse - 1) < 1e-4
    promoted, reason = judge(found, incumbent=FRESH, rival=rival(skill, p_value))
    assert not promoted
    assert "better" not in reason
    assert "worse" not in reason
    assert judge(found, incumbent=OLD, rival=rival(skill, p_value))[0], "as good, and fresher"


def test_the_age_at_which_a_champion_gives_way_is_a_setting() -> None:
    same = rival(0.001, 0.5)
    assert judge(tonight(0.2, 0.2), incumbent=Incumbent(5), rival=same, replace_after=5)[0]
    assert not judge(tonight(0.2, 0.2), incumbent=Incumbent(40), rival=same, replace_after=41)[0]


def test_a_champion_without_a_score_is_named_and_nobody_becomes_the_first() -> None:
    why = "it has seen sessions through 2012-01-03, the test part begins on 2007-03-19"
    promoted, reason = judge(tonight(0.3), incumbent=Incumbent(2, why))
    assert promoted
    assert reason == f"the champion has no score ({why}): replaced without a comparison"
    assert "first" not in reason


def test_the_first_champion_need_only_not_lose_to_the_last_close() -> None:
    for share in (0.1, 0.0):
        assert judge(tonight(share)) == (True, "the first champion: no significant loss against the last close")
    promoted, reason = judge(tonight(-0.3))
    assert not promoted
    assert reason == ("the challenger loses significantly to the last close: registered, not promoted; no champion yet")


@pytest.mark.parametrize("incumbent", [FRESH, OLD, Incumbent(3, "it is not to be known")])
def test_who_loses_to_the_last_close_replaces_nobody(incumbent: Incumbent) -> None:
    promoted, reason = judge(tonight(-0.3, -0.4), incumbent=incumbent, rival=rival(0.02, 0.01))
    assert not promoted
    assert reason == "the challenger loses significantly to the last close: the champion stays"


def test_a_loss_that_luck_explains_does_not_keep_the_first_model_out() -> None:
    # a bet on up or down, kept for 40 sessions: it loses, but its luck varies
    sides = np.repeat(np.random.default_rng(3).choice([-1.0, 1.0], 36), 4)
    found = evaluate(MID, ORIGINS, {LSTM: LAST * (1 + 0.015 * sides[:, None])}, SETTINGS)
    assert (found.scores[LSTM].skill or 0) < 0
    assert judge(found)[0]


def test_a_kept_model_is_not_its_own_challenger() -> None:
    promoted, reason = judge(tonight(0.3), kept=True)
    assert not promoted
    assert reason == "no training tonight: the champion stays"


@pytest.mark.parametrize(("incumbent", "said"), [(OLD, "the champion stays"), (None, "no champion yet")])
def test_without_a_score_nobody_is_promoted(incumbent: Incumbent | None, said: str) -> None:
    found = tonight(0.3, 0.1)
    unscored = replace(found.scores[LSTM], mse=None)
    promoted, reason = judge(
        replace(found, scores={**found.scores, LSTM: unscored}), incumbent=incumbent, rival=rival(0.02, 0.01)
    )
    assert not promoted
    assert reason == f"the challenger has no score: {said}"


def test_too_few_origins_for_a_test_leave_out_its_number_and_keep_nobody_out() -> None:
    few = evaluate(MID, ORIGINS[:4], {LSTM: knowing(-0.3)[:4]}, SETTINGS)
    promoted, reason = judge(few)
    assert promoted
    kept = verdict(promoted, reason, few, weights=(), validated_skill=None, figures={})
    assert "p_worse_than_last_close" not in kept.numbers


def test_the_numbers_are_those_of_the_evaluation_and_the_distributions() -> None:
    found = tonight(0.3, 0.2, **{PUBLISHED: 0.25, WITHOUT_NETWORK: 0.1})
    figures = {"crps_skill": -0.01, "crps_skill_p_value": None}
    kept = verdict(True, "because", found, weights=(0.25, 0.1), validated_skill=0.01, figures=figures)
    numbers = kept.numbers
    assert (kept.promoted, kept.reason) == (True, "because")
    assert numbers["challenger_mse"] == found.scores[LSTM].mse
    assert numbers["champion_mse"] == found.scores[CHAMPION].mse
    assert numbers["last_close_mse"] == found.scores[LAST_CLOSE].mse
    assert (numbers["weight_of_first_lead"], numbers["weight_of_last_lead"]) == (0.25, 0.1)
    assert numbers["validated_skill"] == 0.01
    assert numbers["origins"] == len(ORIGINS)
    assert 0 <= numbers["p_worse_than_last_close"] <= 1
    apart = (found.scores[PUBLISHED].skill or 0) - (found.scores[WITHOUT_NETWORK].skill or 0)
    assert numbers["network_adds"] == pytest.approx(apart)
    assert 0 <= numbers["network_adds_p_value"] <= 1
    assert numbers["crps_skill"] == -0.01
    assert "crps_skill_p_value" not in numbers


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ((0.0, 0.0, 0.0), NO_SKILL),
        ((0.25, 0.25, 0.25), "25% of the model's move, the rest last close"),
        ((1.0, 0.5, 0.2), "100% of the model's move at lead 1, 20% at lead 3"),
        ((0.6, 0.0, 0.0), "60% of the model's move at lead 1, 0% from lead 2"),
        ((1.0, 1.0, 0.996), "the model's path"),
    ],
)
def test_what_is_published_is_said(weights: tuple[float, ...], said: str) -> None:
    assert publishes(weights) == said
