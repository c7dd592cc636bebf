"""Parts are in time order with gaps; a short history has only a test part; outcomes are those of a
naive loop."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import TooFewBars
from stockml.features.origins import (
    FIRST_ORIGIN,
    HORIZONS_TO_LEARN,
    OriginSplit,
    check_newest,
    every_nth,
    minimum_sessions,
    split_origins,
)
from stockml.settings import EvaluationSettings
from tests.support.walks import walk

evaluations = st.builds(
    lambda horizon, test, validation: EvaluationSettings(
        horizon=horizon, direction_step=1, test_sessions=test, validation_sessions=validation
    ),
    st.integers(1, 60),
    st.integers(50, 3_000),
    st.integers(50, 3_000),
)


@given(evaluations, st.integers(0, 20_000))
def test_training_validation_and_test_parts_are_a_horizon_apart(
    evaluation: EvaluationSettings, more: int
) -> None:
    h = evaluation.horizon
    n = max(HORIZONS_TO_LEARN * h, 2 * (minimum_sessions(evaluation) + h)) + 2 * h + more
    split = split_origins(n, evaluation)
    ends = [
        (split.train_end - 1, split.validation.start),
        (split.validation.stop - 1, split.test.start),
    ]
    for last, first in ends:
        assert last + evaluation.horizon < first
    assert split.test.stop - 1 + evaluation.horizon <= n - 1
    assert min(split.train_end, len(split.validation), len(split.test)) > 0
    for earlier, later in pairwise(
        [0, split.train_end, split.validation.start, split.validation.stop, n]
    ):
        assert earlier < later


@given(evaluations, st.integers(1, 20_000), st.integers(0, 20_000))
def test_scored_parts_begin_no_earlier_than_allowed_and_all_outcomes_are_known(
    evaluation: EvaluationSettings, n: int, not_before: int
) -> None:
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
def test_with_one_more_session_no_part_begins_earlier(
    evaluation: EvaluationSettings, more: int
) -> None:
    """Origins that could be learned from still can be."""
    n = HORIZONS_TO_LEARN * evaluation.horizon + 2 * FIRST_ORIGIN + more
    before, after = (split_origins(each, evaluation) for each in (n, n + 1))
    if before.validation:
        for one, two in ((before.validation, after.validation), (before.test, after.test)):
            assert two.start - one.start in (0, 1)


def test_a_long_history_has_full_parts() -> None:
    split = split_origins(12_000, EvaluationSettings())
    assert (split.test.start, split.test.stop) == (10_500, 11_950)
    assert (split.validation.start, split.validation.stop) == (9_450, 10_450)
    assert split.train_end == 9_400


@pytest.mark.parametrize("n", [989, 3_270])
def test_parts_of_short_histories_shrink_in_proportion_and_leave_half_for_training(n: int) -> None:
    split = split_origins(n, EvaluationSettings())
    assert (n - split.test.start) + len(split.validation) == n // 2
    assert (len(split.test) + 50) / len(split.validation) == pytest.approx(1.5, rel=0.02)


@pytest.mark.parametrize(
    ("n", "not_before", "test"),
    [
        (599, 0, range(21, 549)),  # too short to learn from
        (72, 0, range(21, 22)),  # the shortest: a month, an origin, its outcome
        # validation would begin before the oldest vintage has ended
        (
            3_270,
            2_000,
            range(2_000, 3_220),
        ),
        (12_000, 9_451, range(10_500, 11_950)),
    ],
)
def test_without_room_for_a_validation_part_there_is_only_a_test_part(
    n: int, not_before: int, test: range
) -> None:
    split = split_origins(n, EvaluationSettings(), not_before)
    assert (split.test, len(split.validation), split.train_end) == (test, 0, 0)


def test_a_validation_part_may_begin_at_the_first_session_that_is_allowed() -> None:
    assert split_origins(12_000, EvaluationSettings(), 9_450) == split_origins(
        12_000, EvaluationSettings()
    )


def test_however_few_sessions_are_asked_for_each_part_has_the_outcomes_of_one_horizon() -> None:
    few = EvaluationSettings(horizon=60, test_sessions=50, validation_sessions=50)
    assert split_origins(720, few) == OriginSplit(420, range(480, 540), range(600, 660))
    assert split_origins(719, few).test == range(658, 659)


def test_too_few_sessions_are_refused_with_the_number_missing() -> None:
    with pytest.raises(TooFewBars, match="1 is missing"):
        split_origins(71, EvaluationSettings())
    assert split_origins(600, EvaluationSettings()).train_end > 0
    with pytest.raises(TooFewBars, match="22 sessions for a forecast, found 21"):
        check_newest(walk(21))
    check_newest(walk(22))


def test_every_nth_origin_of_a_part_begins_with_its_first() -> None:
    np.testing.assert_array_equal(every_nth(range(7, 30), 4), [7, 11, 15, 19, 23, 27])
