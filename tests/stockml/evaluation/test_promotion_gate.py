"""The gate judges whole distributions, within their noise: better, or as good and fresher, or the
champion stays."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from stockml.evaluation import promotion_gate
from stockml.evaluation.distribution_scores import CrpsComparison, DistributionTable
from stockml.evaluation.path_scores import CHAMPION, LSTM
from stockml.evaluation.promotion_gate import Incumbent
from stockml.forecasts.proper_scores import DieboldMariano
from stockml.models.regressions import RIDGE

FRESH, OLD = Incumbent(19), Incumbent(20)
judge = partial(
    promotion_gate.judge, kept=False, has_network=True, incumbent=None, replace_after=20
)


def rival(skill, p_value, reference=CHAMPION):
    """The challenger's distribution compared with this reference: skill > 0 where it is better."""
    test = None if p_value is None else DieboldMariano(-np.sign(skill), p_value, 0.5)
    return CrpsComparison(LSTM, reference, False, skill, (skill,), test)


def table(against=None, *, over_simple=None):
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
        (9e-4, 0.0001, False, True, "too small a difference"),
        (-9e-4, 0.0001, False, True, "too small a difference"),
    ],
)
def test_the_better_or_as_good_and_fresher_challenger_becomes_champion(
    skill, p_value, if_fresh, if_old, said
):
    for incumbent, promoted in ((FRESH, if_fresh), (OLD, if_old)):
        found, reason = judge(table(rival(skill, p_value)), incumbent=incumbent)
        assert found is promoted
        assert said in reason
    assert not judge(table(), incumbent=FRESH)[0]  # it made no error, so nothing is compared
    assert judge(table(), incumbent=OLD)[0]


@pytest.mark.parametrize(
    ("skill", "p_value", "promoted"),
    [(0.0, 1.0, True), (-0.02, 0.051, True), (-0.3, None, True), (-0.02, 0.049, False)],
)
def test_a_model_with_no_champion_beside_it_need_only_be_no_worse_than_without_a_network(
    skill, p_value, promoted
):
    found, reason = judge(table(over_simple=rival(skill, p_value, RIDGE)))
    assert found is promoted
    assert reason.startswith("first model" if promoted else "worse than the ridge regression")
    assert ("too new to judge" in reason) == (p_value is None)


@pytest.mark.parametrize("incumbent", [None, FRESH, OLD, Incumbent(3, "it cannot be read")])
def test_nobody_is_replaced_by_a_challenger_that_is_none(incumbent):
    worse = table(rival(0.02, 0.01), over_simple=rival(-0.3, 0.001, RIDGE))
    for promoted, reason in (
        judge(worse, incumbent=incumbent),
        judge(table(), has_network=False, incumbent=incumbent),
        judge(replace(table(), over_simple={}), incumbent=incumbent),  # no price moved
    ):
        assert not promoted
        assert reason.endswith(": the champion stays" if incumbent else ": no champion yet")
    assert judge(table(), kept=True, incumbent=incumbent)[0] is False
