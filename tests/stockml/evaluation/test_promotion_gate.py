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
from stockml.evaluation.significance import DieboldMariano
from stockml.models.har_regression import REGRESSION
from stockml.models.ridge_regression import RIDGE
from stockml.settings import EvaluationSettings

FRESH, OLD = Incumbent(19), Incumbent(20)
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
    ("skill", "p_value", "incumbent", "promoted", "said"),
    [
        (
            0.02,
            0.01,
            FRESH,
            True,
            "better than the champion: CRPS skill +2.00% against the champion's",
        ),
        (0.02, 0.01, OLD, True, "better than the champion"),
        (
            0.02,
            0.30,
            FRESH,
            False,
            "could be luck: CRPS skill +2.00% against the champion's on the same origins, p 0.30",
        ),
        (
            0.02,
            0.30,
            OLD,
            True,
            "the difference could be luck, and the champion is 20 sessions old",
        ),
        (-0.02, 0.30, FRESH, False, "the champion of 19 sessions ago stays"),
        (-0.02, 0.30, Incumbent(1), False, "the champion of 1 session ago stays"),
        (
            -0.02,
            0.30,
            OLD,
            True,
            "the difference could be luck, and the champion is 20 sessions old",
        ),
        (-0.02, 0.01, FRESH, False, "worse: CRPS skill -2.00%"),
        (-0.02, 1e-9, FRESH, False, "on the same origins, p < 0.01; it stays"),
        (-0.02, 0.01, OLD, False, "worse: CRPS skill -2.00%"),
        (0.02, None, FRESH, False, "too few to test"),
        (0.02, None, OLD, True, "too few to test"),
        (0.0, 1.0, FRESH, False, "the difference could be luck"),
    ],
)
def test_the_better_or_as_good_and_fresher_challenger_becomes_champion(
    skill: float, p_value: float | None, incumbent: Incumbent, promoted: bool, said: str
) -> None:
    found, reason = judge(table(rival(skill, p_value)), incumbent=incumbent)
    assert found is promoted
    assert said in reason


@pytest.mark.parametrize(("incumbent", "promoted"), [(FRESH, False), (OLD, True)])
def test_a_champion_that_made_no_error_has_no_comparison_and_gives_way_by_age_alone(
    incumbent: Incumbent, promoted: bool
) -> None:
    found, reason = judge(table(), incumbent=incumbent)
    assert found is promoted
    assert reason.startswith("no comparison")


@pytest.mark.parametrize("p_value", [0.0001, 0.2, 1.0])
@pytest.mark.parametrize("skill", [4e-6, -4e-6])
def test_a_difference_of_a_few_millionths_promotes_nobody_however_significant(
    skill: float, p_value: float
) -> None:
    promoted, reason = judge(table(rival(skill, p_value)), incumbent=FRESH)
    assert not promoted
    assert "better" not in reason
    assert "worse" not in reason
    assert judge(table(rival(skill, p_value)), incumbent=OLD)[0], "as good, and fresher"


def test_the_age_at_which_a_champion_gives_way_is_a_setting() -> None:
    same = table(rival(0.001, 0.5))
    assert judge(same, incumbent=Incumbent(5), replace_after=5)[0]
    assert not judge(same, incumbent=Incumbent(40), replace_after=41)[0]


@pytest.mark.parametrize("incumbent", [None, Incumbent(300)])
def test_a_model_without_a_network_is_never_promoted(incumbent: Incumbent | None) -> None:
    promoted, reason = judge(table(), has_network=False, incumbent=incumbent)
    assert not promoted
    assert reason.startswith("no network tonight: ")


def test_a_champion_without_a_score_is_reported_and_its_successor_is_not_called_the_first() -> None:
    why = "it has seen sessions through 2012-01-03, what is unseen begins on 2007-03-19"
    promoted, reason = judge(table(), incumbent=Incumbent(2, why))
    assert promoted
    assert reason == f"the champion has no score ({why}): replaced without a comparison"
    assert "first" not in reason


@pytest.mark.parametrize(
    ("skill", "p_value", "promoted"),
    [
        (0.02, 0.01, True),
        (0.0, 1.0, True),
        (-0.02, 0.06, True),
        (-0.3, None, True),
        (-0.02, 0.04, False),
    ],
)
def test_a_model_with_no_champion_beside_it_need_only_be_no_worse_than_without_a_network(
    skill: float, p_value: float | None, promoted: bool
) -> None:
    found, reason = judge(table(over_simple=rival(skill, p_value, RIDGE)))
    assert found is promoted
    if promoted:
        found = "too new to judge" if p_value is None else "no sign that it hurts"
        assert reason == f"first model; {found}"
    else:
        assert reason == (
            "worse than the ridge regression (CRPS skill -2.00% against its on the same origins, "
            "p 0.04): no champion yet"
        )


@pytest.mark.parametrize("incumbent", [FRESH, OLD, Incumbent(3, "it cannot be read")])
def test_a_challenger_worse_than_without_a_network_replaces_nobody(incumbent: Incumbent) -> None:
    found = table(rival(0.02, 0.01), over_simple=rival(-0.3, 0.001, RIDGE))
    promoted, reason = judge(found, incumbent=incumbent)
    assert not promoted
    assert reason.endswith(": the champion stays")


@pytest.mark.parametrize("incumbent", [None, OLD])
def test_where_nothing_can_be_scored_nobody_is_promoted(incumbent: Incumbent | None) -> None:
    promoted, reason = judge(replace(table(), over_simple={}), incumbent=incumbent)
    assert not promoted
    assert reason.startswith("no price moved, so nothing can be scored: ")


def test_a_kept_model_is_not_its_own_challenger() -> None:
    assert judge(table(), kept=True) == (False, "no other network tonight: the champion stays")


def test_the_numbers_are_those_of_the_evaluation_and_the_distributions() -> None:
    origins = np.arange(500, 1_940, 10)
    mid = 50 * np.exp(np.cumsum(np.random.default_rng(2).normal(0.0, 0.015, 2_000)))
    last, actual = (
        np.repeat(mid[origins, None], 50, axis=1),
        mid[origins[:, None] + np.arange(1, 51)],
    )
    knowing = {LSTM: 0.3, CHAMPION: 0.2, PUBLISHED: 0.25, WITHOUT_NETWORK: 0.1}
    paths = {name: last + share * (actual - last) for name, share in knowing.items()}
    found = evaluate(mid, origins, paths, EvaluationSettings(scale_sessions=500), {}, close=mid)
    measured = replace(table(), whole={LSTM: rival(-0.01, None, REGRESSION)})
    kept = verdict(True, "because", found, measured)
    numbers = kept.numbers
    assert (kept.promoted, kept.reason) == (True, "because")
    assert numbers["challenger_mse"] == found.scores[LSTM].mse
    assert numbers["champion_mse"] == found.scores[CHAMPION].mse
    assert numbers["last_close_mse"] == found.scores[LAST_CLOSE].mse
    assert numbers["origins"] == len(origins)
    apart = (found.scores[PUBLISHED].skill or 0) - (found.scores[WITHOUT_NETWORK].skill or 0)
    assert numbers["network_adds"] == pytest.approx(apart)
    adds = found.comparison(PUBLISHED, WITHOUT_NETWORK)
    assert adds is not None
    assert numbers["network_adds_p_value"] == adds.p_value
    assert numbers["crps_skill"] == -0.01
    assert "crps_skill_p_value" not in numbers
