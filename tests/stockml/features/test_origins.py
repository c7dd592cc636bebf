"""Parts are in time order with gaps; a short history has only a test part; outcomes are those of a
naive loop."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import TooFewBars
from stockml.features.origins import (
    FIRST_ORIGIN,
    HORIZONS_TO_LEARN,
    OriginSplit,
    check_newest,
    minimum_sessions,
    split_origins,
)
from stockml.settings import EvaluationSettings
from tests.support.walks import walk

evaluations = st.builds(
    EvaluationSettings,
    horizon=st.integers(1, 60),
    direction_step=st.just(1),
    test_sessions=st.integers(50, 3_000),
    validation_sessions=st.integers(50, 3_000),
)


@given(evaluations, st.integers(0, 20_000))
def test_training_validation_and_test_parts_are_a_horizon_apart(evaluation, more):
    h = evaluation.horizon
    n = max(HORIZONS_TO_LEARN * h, 2 * (minimum_sessions(evaluation) + h)) + 2 * h + more
    split = split_origins(n, evaluation)
    parts = [range(split.train_end), split.validation, split.test, range(n, n + 1)]
    for part, later in pairwise(parts):
        assert part
        assert part[-1] + h < later.start


@given(evaluations, st.integers(1, 20_000), st.integers(0, 20_000))
def test_scored_parts_begin_no_earlier_than_allowed_and_all_outcomes_are_known(
    evaluation, n, not_before
):
    if n < minimum_sessions(evaluation) or not_before >= n - evaluation.horizon:
        with pytest.raises(TooFewBars) as refusal:
            split_origins(n, evaluation, not_before)
        assert refusal.value.needed > refusal.value.found == n
        return
    split = split_origins(n, evaluation, not_before)
    assert min(split.validation.start, split.test.start) >= not_before
    assert len(split.test) > 0
    assert split.test.stop + evaluation.horizon == n
    if not split.validation:
        assert (split.train_end, split.validation.start) == (0, split.test.start)
        assert split.test.start >= FIRST_ORIGIN
        assert len(split.test) <= evaluation.test_sessions


@given(evaluations, st.integers(0, 8_000))
def test_with_one_more_session_no_part_begins_earlier(evaluation, more):
    """Origins that could be learned from still can be."""
    n = HORIZONS_TO_LEARN * evaluation.horizon + 2 * FIRST_ORIGIN + more
    before, after = (split_origins(each, evaluation) for each in (n, n + 1))
    if before.validation:
        for one, two in ((before.validation, after.validation), (before.test, after.test)):
            assert two.start - one.start in (0, 1)


def test_a_long_history_has_full_parts():
    expected = OriginSplit(9_400, range(9_450, 10_450), range(10_500, 11_950))
    for not_before in (0, 9_450):
        assert split_origins(12_000, EvaluationSettings(), not_before) == expected


def test_parts_of_a_short_history_shrink_in_proportion_and_leave_half_for_training():
    split = split_origins(989, EvaluationSettings())
    assert (989 - split.test.start) + len(split.validation) == 989 // 2
    assert (len(split.test) + 50) / len(split.validation) == pytest.approx(1.5, rel=0.02)


@pytest.mark.parametrize(
    ("n", "not_before", "test"),
    [
        (72, 0, range(21, 22)),  # the shortest: a month, an origin, its outcome
        (3_270, 2_000, range(2_000, 3_220)),
        (12_000, 9_451, range(10_500, 11_950)),  # validation would begin one session before it
    ],
)
def test_without_room_for_a_validation_part_there_is_only_a_test_part(n, not_before, test):
    split = split_origins(n, EvaluationSettings(), not_before)
    assert (split.test, len(split.validation), split.train_end) == (test, 0, 0)


def test_however_few_sessions_are_asked_for_each_part_has_the_outcomes_of_one_horizon():
    few = EvaluationSettings(horizon=60, test_sessions=50, validation_sessions=50)
    assert split_origins(720, few) == OriginSplit(420, range(480, 540), range(600, 660))
    assert split_origins(719, few).test == range(658, 659)


def test_too_few_sessions_are_refused_with_the_number_missing():
    with pytest.raises(TooFewBars, match="1 is missing"):
        split_origins(71, EvaluationSettings())
    with pytest.raises(TooFewBars, match="found 21"):
        check_newest(walk(21))
    check_newest(walk(22))
