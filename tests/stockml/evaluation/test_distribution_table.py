"""A night's rows by CRPS: a vintage that saw none of them, figures equal to an oracle's."""

from dataclasses import replace
from datetime import date
from functools import cache

import numpy as np
import pytest
import scoringrules

from stockml.evaluation.candidates import Candidate, ScoringData
from stockml.evaluation.distribution_scores import CrpsComparison
from stockml.evaluation.distribution_table import DistributionTable, distribution_table, row_of
from stockml.evaluation.path_scores import CHAMPION, LSTM
from stockml.evaluation.significance import DieboldMariano, diebold_mariano
from stockml.models.har_regression import REGRESSION
from stockml.models.lead_grid import LEVELS
from stockml.models.ridge_regression import RIDGE
from stockml.models.ticker_network import PRETRAINED, TickerNetwork
from stockml.models.vintage_set import VintageSet
from stockml.settings import EvaluationSettings
from stockml.storage.records import read_record, written_record
from tests.support.walks import walk

SERIES, AT = walk(2_600), np.arange(2_200, 2_550, 5)
LEADS, ALL = np.array([1, 5, 10, 20, 50]), np.arange(1, 51)
VINTAGES, NONE = (
    VintageSet.ending_before(date(2006, 1, 1)),
    VintageSet.ending_before(date(1990, 1, 1)),
)


def wider(times: float) -> Candidate:
    """A candidate of `times` the ridge regression's widths, shifted up a little."""
    quantiles = times * VINTAGES.simple_quantiles(SERIES, AT, ALL) + 0.001
    return Candidate(quantiles, quantiles, len(AT), None, None, has_network=True)


CANDIDATES = {LSTM: wider(1.3), CHAMPION: wider(0.5), RIDGE: wider(1.0)}
UNSEEN = ScoringData(SERIES, EvaluationSettings(), date(2006, 1, 1), AT, AT, VINTAGES, VINTAGES)


@cache
def table() -> DistributionTable:
    return distribution_table(UNSEEN, CANDIDATES)


def every_rows_crps(*, symmetric: bool = False) -> dict[str, np.ndarray]:
    assert VINTAGES.regression is not None
    rows = {
        REGRESSION: VINTAGES.regression.quantiles(SERIES, AT, LEADS),
        PRETRAINED: VINTAGES.network_quantiles(SERIES, AT, LEADS),
        **{name: each.test[:, LEADS - 1] for name, each in CANDIDATES.items()},
    }
    if symmetric:
        rows = {name: (each - each[..., ::-1]) / 2 for name, each in rows.items()}
    actual = np.log(SERIES.close[AT[:, None] + LEADS] / SERIES.close[AT, None])
    return {
        name: np.asarray(scoringrules.crps_quantile(actual, each, LEVELS))
        for name, each in rows.items()
    }


def test_every_row_is_present_and_scored_on_the_same_origins() -> None:
    found = table()
    assert list(found.scores) == [REGRESSION, PRETRAINED, LSTM, CHAMPION, RIDGE]
    assert {score.origins for score in found.scores.values()} == {len(AT)}
    assert (found.leads, found.reasons) == (tuple(LEADS), {})
    assert set(found.widths) == set(found.whole) == set(found.scores) - {REGRESSION}
    assert found.through == VINTAGES.through == date(2005, 6, 30)
    few = distribution_table(UNSEEN, CANDIDATES, simple_rows=False)
    assert list(few.scores) == [LSTM, CHAMPION, RIDGE]
    assert few.over_simple == found.over_simple


def test_what_training_adds_is_measured_whether_its_network_is_used_or_not() -> None:
    pretrained = VINTAGES.pretrained
    assert pretrained
    trained = replace(
        pretrained,
        members=tuple(replace(each, shape=1.1 * each.shape) for each in pretrained.members),
    )
    network = TickerNetwork(
        VINTAGES, trained, used=False, learned_until=np.datetime64("2005-06-30")
    )
    found = [
        distribution_table(
            UNSEEN, CANDIDATES | {LSTM: replace(wider(1.3), held_out=each)}
        ).training_adds
        for each in (network, replace(network, used=True), replace(network, fine_tuned=None))
    ]
    pair = (VINTAGES.network_quantiles(SERIES, AT, LEADS, each) for each in (trained, None))
    actual = np.log(SERIES.close[AT[:, None] + LEADS] / SERIES.close[AT, None])
    ours, left = (
        (scoringrules.crps_quantile(actual, each, LEVELS) / np.sqrt(LEADS)).mean() for each in pair
    )
    assert found[0] == found[1]
    assert found[0]
    assert found[0].skill == pytest.approx(1 - ours / left)
    assert found[2] is None


def test_the_crps_of_every_row_equals_the_oracles() -> None:
    for name, found in every_rows_crps().items():
        score = table().scores[name]
        np.testing.assert_allclose(score.crps_by_lead, found.mean(axis=0), rtol=0, atol=1e-9)
        assert score.crps == pytest.approx((found / np.sqrt(LEADS)).mean(), abs=1e-9)


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_skill_is_over_the_regressions_crps(symmetric: bool) -> None:
    mean = {
        name: (each / np.sqrt(LEADS)).mean()
        for name, each in every_rows_crps(symmetric=symmetric).items()
    }
    for name, found in (table().widths if symmetric else table().whole).items():
        assert (found.reference, found.symmetric) == (REGRESSION, symmetric)
        assert found.skill == pytest.approx(1 - mean[name] / mean[REGRESSION], abs=1e-9)


def test_networks_are_compared_with_the_champion_and_by_width_with_the_ridge_regression() -> None:
    found = table()
    pairs = [(found.against_champion, LSTM, CHAMPION), (found.network_adds, LSTM, RIDGE)]
    pairs += [(found.over_simple[name], name, RIDGE) for name in (LSTM, CHAMPION)]
    for each, name, reference in pairs:
        assert each is not None
        assert (each.name, each.reference, each.symmetric) == (name, reference, reference == RIDGE)
        rows = every_rows_crps(symmetric=each.symmetric).items()
        loss = {row: (losses / np.sqrt(LEADS)).mean(axis=1) for row, losses in rows}
        assert each.skill == pytest.approx(1 - loss[name].mean() / loss[reference].mean(), abs=1e-9)
        expected = diebold_mariano(loss[name], loss[reference], 10)  # paths of 50, every 5 sessions
        assert vars(each.test) == pytest.approx(vars(expected))
    alone = distribution_table(UNSEEN, {LSTM: wider(1.0)})
    assert (alone.against_champion, alone.network_adds, alone.over_simple) == (None, None, {})
    assert (alone.figures()["network_adds_crps"], alone.figures()["network_adds_crps_p_value"]) == (
        None,
        None,
    )
    assert not alone.is_worse(LSTM, clearly=True)
    assert not alone.is_worse(LSTM, clearly=False)


@pytest.mark.parametrize(
    ("skill", "p_value", "worse", "loses"),
    [
        (0.1, 0.01, False, False),
        (0.0, 1.0, False, False),
        (-1e-6, 0.9, True, False),
        (-0.1, 0.049, True, True),
        (-0.1, 0.051, True, False),
        (-0.1, None, True, False),
    ],
)
def test_a_network_is_worse_by_any_amount_and_clearly_worse_by_more_than_the_noise(
    skill: float, p_value: float | None, worse: bool, loses: bool
) -> None:
    test = None if p_value is None else DieboldMariano(1.0, p_value, 1 - p_value / 2)
    comparison = CrpsComparison(LSTM, RIDGE, True, skill, (skill,), test)
    found = replace(table(), over_simple={CHAMPION: comparison})
    assert (found.is_worse(CHAMPION, clearly=False), found.is_worse(CHAMPION, clearly=True)) == (
        worse,
        loses,
    )
    assert not found.is_worse(LSTM, clearly=False)


def test_without_a_vintage_a_reason_replaces_its_rows_and_the_candidates_are_scored() -> None:
    found = distribution_table(replace(UNSEEN, vintages=NONE), CANDIDATES)
    assert found.reasons == {REGRESSION: NONE.reasons["regression"]}
    assert (found.through, found.widths, found.whole) == (None, {}, {})
    assert list(found.scores) == list(CANDIDATES)
    assert found.over_simple.keys() == {LSTM, CHAMPION}
    assert found.figures()["crps_skill"] is None
    no_pretrained = replace(VINTAGES, pretrained=None, reasons={"pretrained": "no network"})
    without_pretrained = distribution_table(
        replace(UNSEEN, vintages=no_pretrained), {LSTM: wider(1.0)}
    )
    assert list(without_pretrained.scores) == [REGRESSION, LSTM]
    assert without_pretrained.reasons == {PRETRAINED: "no network"}


def test_the_figures_are_those_of_the_network() -> None:
    found, figures = table(), table().figures()
    assert found.network_adds is not None
    assert found.network_adds.test is not None
    assert found.against_champion is not None
    assert figures["crps_skill"] == found.whole[LSTM].skill
    assert figures["crps_skill_p_value"] == found.whole[LSTM].p_value
    assert figures["crps_skill_of_the_width"] == found.widths[LSTM].skill
    assert figures["pretrained_crps_skill"] == found.widths[PRETRAINED].skill
    assert figures["network_adds_crps"] == found.network_adds.skill
    assert figures["network_adds_crps_p_value"] == found.network_adds.test.p_value
    assert figures["crps_against_champion"] == found.against_champion.skill


def test_a_short_horizon_has_only_the_leads_it_reaches_and_a_table_survives_json() -> None:
    short = replace(UNSEEN, settings=EvaluationSettings(horizon=12, direction_step=10))
    assert distribution_table(short, CANDIDATES).leads == (1, 5, 10)
    assert read_record(DistributionTable, written_record(table())) == table()
    assert [row_of(name) for name in (LSTM, CHAMPION, REGRESSION)] == [LSTM, CHAMPION, RIDGE]
