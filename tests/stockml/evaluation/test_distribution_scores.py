"""Scores of distributions are those of scoringrules, a night's rows an oracle's, tests across tickers
sound."""

from dataclasses import replace
from datetime import date
from functools import cache

import numpy as np
import pandas as pd
import pytest
import scoringrules
from scipy.stats import norm

from stockml.evaluation.candidates import Candidate, ScoringData
from stockml.evaluation.distribution_scores import (
    DistributionTable,
    Losses,
    PairedLosses,
    compare_crps,
    distribution_table,
    panel_diebold_mariano,
)
from stockml.evaluation.path_scores import CHAMPION, LSTM
from stockml.forecasts.proper_scores import diebold_mariano, score_bands
from stockml.models.regressions import LEVELS, REGRESSION, RIDGE
from stockml.models.trained_model import PRETRAINED, TickerNetwork
from stockml.models.vintage_set import VintageSet
from stockml.prices.calendar import A_DAY
from stockml.settings import EvaluationSettings
from stockml.storage.receipts import read_record, written_record
from tests.support.models import fine_tuned
from tests.support.walks import walk

LEADS = np.array([1, 10, 50])
ORIGINS = np.arange(100, 1_600, 5)
DAYS = np.datetime64("2001-01-01") + ORIGINS


def losses(actual, **widths):
    rows = {
        name: np.tile(width * norm.ppf(LEVELS), (len(ORIGINS), len(LEADS), 1))
        for name, width in widths.items()
    }
    return {name: Losses.of(each, actual, LEADS) for name, each in rows.items()}


@pytest.mark.parametrize("width", [0.0, 0.005])
def test_a_price_that_never_moved_gives_no_skill_however_narrow_the_forecast(width):
    moved = np.zeros((len(ORIGINS), len(LEADS)))
    both = losses(moved, narrow=width, wide=0.01)
    assert [compare_crps(both, 10, reference=reference) for reference in both] == [{}, {}]
    assert np.isnan(both["wide"].skills(both["narrow"])).all()
    moved[0, 0] = 0.01  # it moved once: a skill is missing only where the reference is exact
    both = losses(moved, narrow=width, wide=0.01)
    finite = [True, True, width > 0, width > 0]
    assert np.isfinite(both["wide"].skills(both["narrow"])).tolist() == finite
    assert [*compare_crps(both, 10, reference="narrow")] == (["wide"] if width else [])


def test_blocks_are_quarters_of_all_tickers_and_partial_ones_are_left_out():
    random = np.random.default_rng(4)
    tickers = [
        PairedLosses(
            DAYS[:-2] - 2 * A_DAY, random.gamma(2, 1, 298), random.gamma(2, 1 + i, 298), ()
        )
        for i in (0, 1)
    ]
    # the first quarter has somewhat fewer origins than usual, the last somewhat fewer than half
    relative = pd.concat(
        pd.DataFrame({"loss": each.loss, "other": each.reference}, each.sessions)
        / each.reference.mean()
        for each in tickers
    )
    by_quarter = relative.groupby(pd.Grouper(freq="QS"))
    counts = by_quarter.size()
    means = by_quarter.mean()[counts >= counts.median() / 2]
    assert len(means) < len(counts)
    expected = diebold_mariano(*means.to_numpy().T, 2)
    assert vars(panel_diebold_mariano(tickers)) == pytest.approx(vars(expected))
    few = [PairedLosses(DAYS[:20], each.loss[:20], each.reference[:20], ()) for each in tickers]
    assert panel_diebold_mariano(few) is None


SERIES, AT = walk(2_600), np.arange(2_200, 2_550, 5)
SHOWN, ALL = np.array([1, 5, 10, 20, 50]), np.arange(1, 51)
ACTUAL = np.log(SERIES.close[AT[:, None] + SHOWN] / SERIES.close[AT, None])
VINTAGES = VintageSet.ending_before(date(2006, 1, 1))


def wider(times):
    """A candidate of `times` the ridge regression's widths, shifted up a little."""
    forecast = times * VINTAGES.simple_quantiles(SERIES, AT, ALL) + 0.001
    return Candidate(forecast, forecast, len(AT), None, has_network=True)


CANDIDATES = {LSTM: wider(1.3), CHAMPION: wider(0.5), RIDGE: wider(1.0)}
UNSEEN = ScoringData(SERIES, EvaluationSettings(), date(2006, 1, 1), AT, AT, VINTAGES, VINTAGES)


@cache
def table():
    return distribution_table(UNSEEN, CANDIDATES)


def every_rows_crps(*, symmetric=False):
    rows = {
        REGRESSION: VINTAGES.regression.quantiles(SERIES, AT, SHOWN),
        PRETRAINED: VINTAGES.network_quantiles(SERIES, AT, SHOWN),
        **{name: each.test[:, SHOWN - 1] for name, each in CANDIDATES.items()},
    }
    if symmetric:
        rows = {name: (each - each[..., ::-1]) / 2 for name, each in rows.items()}
    return {name: scoringrules.crps_quantile(ACTUAL, each, LEVELS) for name, each in rows.items()}


def test_every_row_is_scored_on_the_same_origins_as_the_oracle_does():
    found, expected = table(), every_rows_crps()
    assert [*found.scores] == [*expected]
    for name, row in found.scores.items():
        np.testing.assert_allclose(row.crps_by_lead, expected[name].mean(axis=0), atol=1e-9)
        assert row.crps == pytest.approx((expected[name] / np.sqrt(SHOWN)).mean(), abs=1e-9)
        assert row.origins == len(AT)
    held = found.scores[LSTM]
    for name, band in score_bands(CANDIDATES[LSTM].test[:, SHOWN - 1], ACTUAL).bands.items():
        assert held.coverage_by_lead[name] == band.coverage_by_lead
        assert held.coverage[name] == band.coverage
        assert held.interval_scores[name] == pytest.approx(band.interval_score)
    assert (found.leads, found.reasons) == (tuple(SHOWN), {})
    assert found.through == VINTAGES.through == date(2005, 6, 30)
    few = distribution_table(UNSEEN, CANDIDATES, simple_rows=False)
    assert (list(few.scores), few.over_simple) == ([*CANDIDATES], found.over_simple)
    assert read_record(DistributionTable, written_record(found)) == found
    short = replace(UNSEEN, settings=EvaluationSettings(horizon=12, direction_step=10))
    assert distribution_table(short, CANDIDATES).leads == (1, 5, 10)


def test_rows_are_compared_with_the_regression_the_champion_and_by_width_with_the_ridge():
    found = table()
    pairs = [*found.widths.values(), *found.whole.values(), *found.over_simple.values()]
    assert [each.name for each in pairs[:8]] == [PRETRAINED, LSTM, CHAMPION, RIDGE] * 2
    champion, adds = found.against_champion, found.network_adds
    assert adds == found.over_simple[LSTM]
    kinds = [(REGRESSION, True)] * 4 + [(REGRESSION, False)] * 4 + [(RIDGE, True)] * 2
    for each, kind in zip([*pairs, champion], [*kinds, (CHAMPION, False)], strict=True):
        assert (each.reference, each.symmetric) == kind
        rows = every_rows_crps(symmetric=each.symmetric)
        loss, other = (
            (rows[name] / np.sqrt(SHOWN)).mean(axis=1) for name in (each.name, each.reference)
        )
        assert each.skill == pytest.approx(1 - loss.mean() / other.mean(), abs=1e-9)
        by_lead = 1 - rows[each.name].mean(axis=0) / rows[each.reference].mean(axis=0)
        np.testing.assert_allclose(each.skill_by_lead, by_lead, atol=1e-9)
        expected = diebold_mariano(loss, other, 10)  # paths of 50, every 5 sessions
        assert vars(each.test) == pytest.approx(vars(expected))
        assert each.interval == each.test.around(each.skill)
    assert replace(champion, test=None).interval is None
    equal = replace(found, over_simple={LSTM: replace(adds, skill=0.0)})
    assert not equal.is_worse(LSTM, clearly=False)
    assert found.figures() == {
        "crps_skill": found.whole[LSTM].skill,
        "crps_skill_p_value": found.whole[LSTM].p_value,
        "crps_skill_of_the_width": found.widths[LSTM].skill,
        "pretrained_crps_skill": found.widths[PRETRAINED].skill,
        "network_adds_crps": adds.skill,
        "network_adds_crps_p_value": adds.p_value,
        "training_adds_crps": None,
        "crps_against_champion": champion.skill,
    }


def test_what_training_adds_is_measured_whether_its_network_is_used_or_not():
    alone = TickerNetwork(VINTAGES, None, used=False, learned_until=np.datetime64("2005-06-30"))
    trained = fine_tuned(alone, 1.1)
    unused, used, nothing = (
        distribution_table(UNSEEN, CANDIDATES | {LSTM: replace(wider(1.3), held_out=each)})
        for each in (replace(trained, used=False), trained, alone)
    )
    pair = (each.forecast(SERIES, AT, SHOWN)[1] for each in (trained, alone))
    ours, left = (
        (scoringrules.crps_quantile(ACTUAL, each, LEVELS) / np.sqrt(SHOWN)).mean() for each in pair
    )
    assert unused.training_adds == used.training_adds
    assert unused.training_adds.skill == pytest.approx(1 - ours / left)
    assert nothing.training_adds is None


def test_without_a_vintage_a_reason_replaces_its_rows_and_the_candidates_are_scored():
    none = VintageSet.ending_before(date(1990, 1, 1))
    found = distribution_table(replace(UNSEEN, vintages=none), CANDIDATES)
    assert found.reasons == {REGRESSION: none.reasons["regression"]}
    assert (found.through, found.widths, found.whole) == (None, {}, {})
    assert ([*found.scores], [*found.over_simple]) == ([*CANDIDATES], [LSTM, CHAMPION])
    assert found.figures()["crps_skill"] is None
    no_network = replace(VINTAGES, pretrained=None, reasons={"pretrained": "no network"})
    found = distribution_table(replace(UNSEEN, vintages=no_network), {LSTM: wider(1.0)})
    assert ([*found.scores], found.reasons) == ([REGRESSION, LSTM], {PRETRAINED: "no network"})
    assert (found.against_champion, found.network_adds, found.over_simple) == (None, None, {})
