"""What is published follows the model as far as it has been right on what it was not fitted to, and no further."""

import numpy as np
import pytest

from stockml.combining import Combination, Shown, combined
from stockml.config import EvaluationSettings
from stockml.evaluation import evaluate
from stockml.intervals import Bands

SETTINGS = EvaluationSettings(scale_sessions=500)
ORIGINS = np.arange(500, 1_440, 10)
LATER = 1_999
MID = 50 * np.exp(np.cumsum(np.random.default_rng(5).normal(0.0, 0.015, 2_000)))
LAST = np.repeat(MID[ORIGINS, None], 50, axis=1)
ACTUAL = MID[ORIGINS[:, None] + np.arange(1, 51)]


def knowing(share: float) -> np.ndarray:
    """A path that foretells `share` of the move that comes; below 0 it goes the wrong way."""
    return LAST + share * (ACTUAL - LAST)


def shown(paths: np.ndarray, mid: np.ndarray = MID) -> Shown:
    return Shown.of(mid, ORIGINS, paths, SETTINGS)


@pytest.mark.parametrize(
    ("share", "skill", "weight"),
    [(1.0, 1.0, 1.0), (0.5, 0.75, 1.0), (1.6, 0.64, 0.25), (2.0, 0.0, 0.0), (4.0, -8.0, 0.0), (-0.3, -0.69, 0.0)],
)
def test_the_weight_falls_to_nothing_as_the_skill_does(share: float, skill: float, weight: float) -> None:
    found = shown(knowing(share))
    assert found.skill() == pytest.approx(skill)
    assert found.weight(LATER) == pytest.approx(weight, abs=1e-9)


def test_the_skill_is_that_of_the_evaluation() -> None:
    paths = knowing(0.3) * 1.01
    assert shown(paths).skill() == pytest.approx(evaluate(MID, ORIGINS, {"LSTM": paths}, SETTINGS).scores["LSTM"].skill)


def test_a_path_without_any_move_has_nothing_to_publish() -> None:
    assert (shown(LAST).skill(), shown(LAST).weight(LATER)) == (0.0, 0.0)


def test_a_share_that_never_moved_has_no_skill_to_show() -> None:
    found = shown(np.full((len(ORIGINS), 50), 21.0), np.full(2_000, 20.0))
    assert (found.skill(), found.weight(LATER)) == (None, 0.0)


def test_only_outcomes_that_were_known_when_the_forecast_was_made_have_a_say() -> None:
    wrong_in_the_end = np.where(np.arange(len(ORIGINS))[:, None] < 47, knowing(0.5), knowing(-4.0))
    found = shown(wrong_in_the_end)
    last_good = int(ORIGINS[46])
    assert found.weight(int(ORIGINS[0]) + 49) == 0.0
    assert found.weight(int(ORIGINS[0]) + 50) == found.weight(last_good + 50) == 1.0
    assert found.weight(int(ORIGINS[60]) + 50) < 1.0
    assert found.weight(LATER) == 0.0


def test_a_combination_lies_between_the_last_value_and_the_path() -> None:
    paths = knowing(0.5)
    assert np.array_equal(combined(MID[ORIGINS], paths, 0.0), LAST)
    assert np.allclose(combined(MID[ORIGINS], paths, 1.0), paths)
    each = combined(MID[ORIGINS], paths, np.linspace(0, 1, len(ORIGINS)))
    assert np.array_equal(each[0], LAST[0])
    assert np.allclose(each[-1], paths[-1])
    assert np.allclose(combined(MID[ORIGINS[0]], paths[0], 0.25), LAST[0] + 0.25 * (paths[0] - LAST[0]))


def test_what_is_kept_is_read_again() -> None:
    found = Combination(0.25, 0.01, Bands.fit(MID, ORIGINS, knowing(0.4)))
    assert Combination.fromdict(found.asdict()) == found
