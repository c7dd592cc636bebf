"""What is published follows the model as far as it has been right on what it was not fitted to, and no further."""

import numpy as np
import pytest

from stockml.evaluation.evaluate import evaluate
from stockml.forecasts.conformal import ConformalIntervals
from stockml.forecasts.shrinkage import OutOfSampleMoments, ShrunkForecast, combined
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.storage.records import read_record, written_record

SETTINGS = EvaluationSettings(scale_sessions=500)
ORIGINS = np.arange(500, 1_440, 10)
LATER = np.array([1_999])
LEADS = np.arange(1, 51)
MID = 50 * np.exp(np.cumsum(np.random.default_rng(5).normal(0.0, 0.015, 2_000)))
CLOSE = MID * np.exp(np.random.default_rng(6).normal(0.0, 0.008, 2_000))
LAST = np.repeat(CLOSE[ORIGINS, None], 50, axis=1)
ACTUAL = MID[ORIGINS[:, None] + np.arange(1, 51)]


def series(mid: np.ndarray, close: np.ndarray) -> PriceSeries:
    """Sessions of these mid prices and closes."""
    reach = 0.001 + np.abs(close - mid)
    sessions = np.datetime64("2001-01-01") + np.arange(len(mid))
    return PriceSeries(sessions, close, mid + reach, mid - reach, close, np.ones(len(mid)))


SERIES = series(MID, CLOSE)


def knowing(share: float) -> np.ndarray:
    """A path that foretells `share` of the move that comes, from the close; below 0 it goes the wrong way."""
    return LAST + share * (ACTUAL - LAST)


def shown(paths: np.ndarray, of: PriceSeries = SERIES) -> OutOfSampleMoments:
    return OutOfSampleMoments.of(of, ORIGINS, paths, SETTINGS)


@pytest.mark.parametrize(
    ("share", "skill", "weight"),
    [(1.0, 1.0, 1.0), (0.5, 0.75, 1.0), (1.6, 0.64, 0.25), (2.0, 0.0, 0.0), (4.0, -8.0, 0.0), (-0.3, -0.69, 0.0)],
)
def test_the_weight_falls_to_nothing_as_the_skill_does(share: float, skill: float, weight: float) -> None:
    found = shown(knowing(share))
    assert found.skill() == pytest.approx(skill)
    assert found.weights(LATER) == pytest.approx(np.full((1, 50), weight), abs=1e-9)


def test_the_skill_is_that_of_the_evaluation() -> None:
    paths = knowing(0.3) * 1.01
    found = evaluate(MID, ORIGINS, {"LSTM": paths}, SETTINGS, close=CLOSE).scores["LSTM"]
    assert shown(paths).skill() == pytest.approx(found.skill)


def test_a_path_without_any_move_has_nothing_to_publish() -> None:
    assert shown(LAST).skill() == 0.0
    assert not shown(LAST).weights(LATER).any()


def test_the_session_that_is_over_is_no_move_to_foretell() -> None:
    """From mid prices as they were, a path that merely knows the close would seem to foretell; from closes it does not.

    Each price goes on from the close: the mid price of the day is older, and a path from it is wrong by what is known.
    """
    steps = np.random.default_rng(9).normal(0.0, 0.01, (2_000, 2))
    ends = np.cumsum(steps.sum(axis=1))
    mid, close = 50 * np.exp(ends - steps[:, 1]), 50 * np.exp(ends)
    from_close = np.repeat(close[ORIGINS, None], 50, axis=1)
    from_mid = np.repeat(mid[ORIGINS, None], 50, axis=1)
    assert shown(from_close, series(mid, close)).skill() == 0.0
    assert (shown(from_mid, series(mid, close)).skill() or 0.0) < 0
    assert not shown(from_mid, series(mid, close)).weights(LATER).any()
    assert (shown(from_close, series(mid, mid)).skill() or 0.0) > 0, "what the mid price as the reference flattered"


def test_a_share_that_never_moved_has_no_skill_to_show() -> None:
    found = shown(np.full((len(ORIGINS), 50), 21.0), series(*np.full((2, 2_000), 20.0)))
    assert found.skill() is None
    assert not found.weights(LATER).any()


def test_what_is_known_of_the_near_sessions_is_not_lost_with_the_far_ones() -> None:
    near_only = np.where(LEADS <= 8, knowing(0.5), knowing(-0.5))
    weights = shown(near_only).weights(LATER)[0]
    assert weights[:4] == pytest.approx(1.0)
    assert not weights[19:].any()


def test_a_far_session_is_never_trusted_beyond_a_nearer_one() -> None:
    far_only = np.where(LEADS <= 4, knowing(-0.5), knowing(0.5))
    assert not shown(far_only).weights(LATER).any()
    better_with_the_lead = LAST + np.linspace(1.8, 0.6, 50) * (ACTUAL - LAST)
    weights = shown(better_with_the_lead).weights(LATER)[0]
    assert 0 < weights[0] < 0.2
    assert (weights == weights[0]).all()


def test_a_lead_learns_from_those_from_half_to_twice_as_far() -> None:
    rng = np.random.default_rng(8)
    found = shown(LAST + (ACTUAL - LAST) * rng.uniform(0.2, 1.6, 50) + rng.normal(0, 0.2, ACTUAL.shape))
    allowed = 1.0
    for lead, weight in zip(LEADS, found.weights(LATER)[0], strict=True):
        pooled = [k for k in LEADS if lead <= 2 * k and k <= 2 * lead]
        x, y = (sum(each[:, k - 1].sum() / k for k in pooled) for each in (found.said, found.shared))
        allowed = min(allowed, max(2 * y / x - 1, 0.0))
        assert weight == pytest.approx(allowed)


def test_only_outcomes_that_were_known_when_the_forecast_was_made_have_a_say() -> None:
    wrong_in_the_end = np.where(np.arange(len(ORIGINS))[:, None] < 47, knowing(0.5), knowing(-4.0))
    found = shown(wrong_in_the_end)
    last_good = int(ORIGINS[46])
    after = np.array([ORIGINS[0] + 49, ORIGINS[0] + 50, last_good + 50, ORIGINS[60] + 50, *LATER])
    too_early, first, last, later, latest = found.weights(after)
    assert not too_early.any()
    assert (first == 1.0).all()
    assert (last == 1.0).all()
    assert (later < 1.0).all()
    assert not latest.any()


def test_a_combination_lies_between_the_last_close_and_the_path() -> None:
    paths = knowing(0.5)
    assert np.array_equal(combined(CLOSE[ORIGINS], paths, np.zeros(50)), LAST)
    assert np.allclose(combined(CLOSE[ORIGINS], paths, np.ones(50)), paths)
    each = combined(CLOSE[ORIGINS], paths, np.linspace(0, 1, paths.size).reshape(paths.shape))
    assert each[0, 0] == LAST[0, 0]
    assert each[-1, -1] == pytest.approx(paths[-1, -1])
    weights = np.linspace(1, 0, 50)
    assert np.allclose(combined(CLOSE[ORIGINS[0]], paths[0], weights), LAST[0] + weights * (paths[0] - LAST[0]))


def test_what_is_kept_is_read_again() -> None:
    found = ShrunkForecast((0.25,) * 50, 0.01, ConformalIntervals.fit(MID, ORIGINS, knowing(0.4)))
    assert read_record(ShrunkForecast, written_record(found)) == found
