"""Parts lie in time order with gaps; windows and outcomes are what a naive loop cuts."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import TooFewBars
from stockml.features.windows import inputs, minimum_sessions, origins, outcomes, split_origins, targets
from stockml.settings import EvaluationSettings

evaluations = st.builds(
    lambda horizon, test, validation: EvaluationSettings(
        horizon=horizon, direction_step=1, test_sessions=test, validation_sessions=validation
    ),
    st.integers(1, 60),
    st.integers(50, 3_000),
    st.integers(50, 3_000),
)


@given(evaluations, st.integers(0, 20_000))
def test_parts_keep_a_horizon_between_what_is_learned_chosen_and_measured(
    evaluation: EvaluationSettings, more: int
) -> None:
    n = minimum_sessions(evaluation) + more
    split = split_origins(n, evaluation)
    ends = [(split.train_end - 1, split.validation.start), (split.validation.stop - 1, split.test.start)]
    for last, first in ends:
        assert last + evaluation.horizon < first
    assert split.test.stop - 1 + evaluation.horizon <= n - 1
    lengths = [split.train_end, len(split.validation), len(split.test)]
    assert min(lengths) > 0
    for earlier, later in pairwise([0, split.train_end, split.validation.start, split.validation.stop, n]):
        assert earlier < later


def test_a_long_history_has_full_parts() -> None:
    split = split_origins(12_000, EvaluationSettings())
    assert (split.test.start, split.test.stop) == (10_500, 11_950)
    assert (split.validation.start, split.validation.stop) == (9_450, 10_450)
    assert split.train_end == 9_400


@pytest.mark.parametrize(("n", "least"), [(989, 250), (3_270, 1_400)])
def test_short_histories_shrink_in_proportion_and_keep_most_for_learning(n: int, least: int) -> None:
    split = split_origins(n, EvaluationSettings())
    assert split.train_end > least
    assert (len(split.test) + 50) / len(split.validation) == pytest.approx(1.5, rel=0.02)


def test_too_few_sessions_are_counted() -> None:
    with pytest.raises(TooFewBars, match="1 are missing"):
        split_origins(599, EvaluationSettings())
    assert split_origins(600, EvaluationSettings()).train_end > 0


def test_windows_and_targets_are_what_a_naive_loop_cuts() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 3)).astype(np.float32)
    log_mid, sigma = rng.normal(size=40), rng.uniform(1, 2, 40)
    at, look_back, horizon = origins(range(7, 30), 4), 8, 6
    for m, i in enumerate(at):
        np.testing.assert_array_equal(inputs(rows, at, look_back)[m], rows[i - 7 : i + 1])
        np.testing.assert_array_equal(outcomes(log_mid, at, horizon)[m], log_mid[i + 1 : i + 7])
        for k in range(1, horizon + 1):
            expected = (log_mid[i + k] - log_mid[i]) / sigma[i]
            assert targets(log_mid, sigma, at, horizon)[m, k - 1] == pytest.approx(expected)
