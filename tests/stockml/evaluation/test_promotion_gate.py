"""The gate promotes who is better tonight on the same origins and does not significantly lose to the last value."""

from dataclasses import replace

import numpy as np
import pytest

from stockml.evaluation.evaluate import CHAMPION, LSTM, evaluate
from stockml.evaluation.metrics import Evaluation
from stockml.evaluation.promotion_gate import NO_SKILL, judge, publishes
from stockml.settings import EvaluationSettings

SETTINGS = EvaluationSettings(scale_sessions=500)
ORIGINS = np.arange(500, 1_940, 10)
MID = 50 * np.exp(np.cumsum(np.random.default_rng(2).normal(0.0, 0.015, 2_000)))
ACTUAL = MID[ORIGINS[:, None] + np.arange(1, 51)]
LAST = np.repeat(MID[ORIGINS, None], 50, axis=1)


def knowing(share: float) -> np.ndarray:
    """A path that knows `share` of what then happens; below 0 it goes the wrong way."""
    return LAST + share * (ACTUAL - LAST)


def tonight(challenger: float, champion: float | None = None) -> Evaluation:
    paths = {LSTM: knowing(challenger)} | ({} if champion is None else {CHAMPION: knowing(champion)})
    return evaluate(MID, ORIGINS, paths, SETTINGS)


@pytest.mark.parametrize(
    ("challenger", "champion", "promoted", "said"),
    [
        (0.3, 0.2, True, "beats the champion"),
        (0.2, 0.3, False, "does not beat the champion"),
        (0.2, 0.2, False, "does not beat the champion"),
        (-0.1, -0.3, False, "loses significantly to the last value: the champion stays"),
        (-0.3, 0.1, False, "loses significantly to the last value: the champion stays"),
        (0.0, -0.2, True, "beats the champion"),
        (0.1, None, True, "the first champion"),
        (0.0, None, True, "the first champion"),
        (-0.3, None, False, "registered, not promoted"),
    ],
)
def test_who_becomes_champion(challenger: float, champion: float | None, promoted: bool, said: str) -> None:
    verdict = judge(tonight(challenger, champion))
    assert verdict.promoted is promoted
    assert said in verdict.reason


def test_a_loss_that_luck_explains_does_not_keep_the_first_model_out() -> None:
    # a bet on up or down, kept for 40 sessions: it loses, but its luck varies
    sides = np.repeat(np.random.default_rng(3).choice([-1.0, 1.0], 36), 4)
    found = evaluate(MID, ORIGINS, {LSTM: LAST * (1 + 0.015 * sides[:, None])}, SETTINGS)
    assert (found.scores[LSTM].skill or 0) < 0
    assert judge(found).promoted


def test_a_kept_model_is_not_its_own_challenger() -> None:
    verdict = judge(tonight(0.3), kept=True)
    assert not verdict.promoted
    assert "no training tonight" in verdict.reason


def test_without_a_score_nobody_is_promoted() -> None:
    found = tonight(0.3, 0.1)
    unscored = replace(found.scores[LSTM], mse=None)
    verdict = judge(replace(found, scores={**found.scores, LSTM: unscored}))
    assert not verdict.promoted
    assert "no score" in verdict.reason


def test_with_too_few_origins_for_a_test_the_score_alone_decides() -> None:
    few = ORIGINS[:4]
    found = evaluate(MID, few, {LSTM: knowing(0.3)[:4], CHAMPION: knowing(0.1)[:4]}, SETTINGS)
    verdict = judge(found)
    assert verdict.promoted
    assert "p_worse_than_last_value" not in verdict.numbers


def test_the_numbers_are_those_of_the_evaluation() -> None:
    found = tonight(0.3, 0.2)
    numbers = judge(found, weights=(0.25, 0.1), validated_skill=0.01).numbers
    assert numbers["challenger_mse"] == found.scores[LSTM].mse
    assert numbers["champion_mse"] == found.scores[CHAMPION].mse
    assert numbers["last_value_mse"] == found.scores["last value"].mse
    assert (numbers["weight_of_first_lead"], numbers["weight_of_last_lead"]) == (0.25, 0.1)
    assert numbers["validated_skill"] == 0.01
    assert numbers["origins"] == len(ORIGINS)
    assert 0 <= numbers["p_worse_than_last_value"] <= 1


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ((0.0, 0.0, 0.0), NO_SKILL),
        ((0.25, 0.25, 0.25), "25% of the model's move, the rest last value"),
        ((1.0, 0.5, 0.2), "100% of the model's move at lead 1, 20% at lead 3"),
        ((0.6, 0.0, 0.0), "60% of the model's move at lead 1, 0% from lead 2"),
        ((1.0, 1.0, 0.996), "the model's path"),
    ],
)
def test_what_is_published_is_said(weights: tuple[float, ...], said: str) -> None:
    assert publishes(weights) == said
