"""Scores of distributions are those of scoringrules, a night's rows an oracle's, tests across tickers
sound."""

from dataclasses import replace
from datetime import date
from functools import cache

import numpy as np
import pytest
import scoringrules
from scipy.stats import norm

from stockml.evaluation.candidates import Candidate, ScoringData
from stockml.evaluation.distribution_scores import (
    CrpsComparison,
    DistributionTable,
    Losses,
    PairedLosses,
    compare_crps,
    distribution_table,
    panel_diebold_mariano,
    row_of,
    score,
)
from stockml.evaluation.path_scores import CHAMPION, LSTM
from stockml.forecasts.proper_scores import DieboldMariano, diebold_mariano
from stockml.models.regressions import LEVELS, REGRESSION, RIDGE
from stockml.models.trained_model import PRETRAINED, TickerNetwork
from stockml.models.vintage_set import VintageSet
from stockml.settings import EvaluationSettings
from stockml.storage.receipts import read_record, written_record
from tests.support.walks import walk

LEADS = np.array([1, 10, 50])
ORIGINS = np.arange(100, 1_600, 5)
DAYS = np.datetime64("2001-01-01") + ORIGINS


def quantiles(width: float, location: float = 0.0) -> np.ndarray:
    roots = np.sqrt(LEADS)[:, None]
    return np.tile(width * roots * norm.ppf(LEVELS) + location * roots, (len(ORIGINS), 1, 1))


def outcomes(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (len(ORIGINS), len(LEADS))) * np.sqrt(LEADS)


def losses(actual: np.ndarray, **found: np.ndarray) -> dict[str, Losses]:
    return {name: Losses.of(each, actual, LEADS) for name, each in found.items()}


def test_scores_are_those_of_scoringrules() -> None:
    forecast, actual = quantiles(0.012), outcomes()
    loss = Losses.of(forecast, actual, LEADS)
    found = score(forecast, actual, loss)
    each = scoringrules.crps_quantile(actual, forecast, LEVELS)
    np.testing.assert_allclose(found.crps_by_lead, each.mean(axis=0))
    over = (each / np.sqrt(LEADS)).mean(axis=1)
    np.testing.assert_allclose(loss.by_origin, over)
    assert (found.origins, found.crps) == (len(ORIGINS), pytest.approx(over.mean()))
    low, high = forecast[..., 2], forecast[..., -3]
    inside = (low <= actual) & (actual <= high)
    assert found.coverage["80"] == pytest.approx(inside.mean())
    np.testing.assert_allclose(found.coverage_by_lead["80"], inside.mean(axis=0))
    expected = scoringrules.interval_score(actual, low, high, 0.2).mean()
    assert found.interval_scores["80"] == pytest.approx(expected)


@pytest.mark.parametrize("width", [0.0, 0.005])
def test_a_price_that_never_moved_gives_no_skill_however_narrow_the_forecast(width: float) -> None:
    moved = np.zeros((len(ORIGINS), len(LEADS)))
    forecasts = {"narrow": quantiles(width), "wide": quantiles(0.01)}
    both = losses(moved, **forecasts)
    assert [compare_crps(both, 10, reference=reference) for reference in both] == [{}, {}]
    assert np.isnan(both["wide"].skills(both["narrow"])).all()
    moved[0, 0] = 0.01  # it moved once: a skill is missing only where the reference is exact
    both = losses(moved, **forecasts)
    finite = [True, True, width > 0, width > 0]
    assert np.isfinite(both["wide"].skills(both["narrow"])).tolist() == finite
    assert [*compare_crps(both, 10, reference="narrow")] == (["wide"] if width else [])


def test_blocks_are_quarters_of_all_tickers_and_partial_ones_are_left_out() -> None:
    random = np.random.default_rng(4)
    tickers = [
        PairedLosses(DAYS[:-2] - 2, random.gamma(2, 1, 298), random.gamma(2, 1 + i, 298), ())
        for i in (0, 1)
    ]
    # the first quarter has somewhat fewer origins than usual, the last somewhat fewer than half
    sums: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for each in tickers:
        unit = each.reference.mean()
        for day, loss, other in zip(each.sessions.tolist(), each.loss, each.reference, strict=True):
            quarter = sums.setdefault((day.year, (day.month - 1) // 3), [])
            quarter.append((loss / unit, other / unit))
    usual = np.median([len(pairs) for pairs in sums.values()])
    means = np.array([np.mean(sums[q], axis=0) for q in sorted(sums) if len(sums[q]) >= usual / 2])
    assert len(means) < len(sums)
    expected, found = diebold_mariano(means[:, 0], means[:, 1], 2), panel_diebold_mariano(tickers)
    assert vars(found) == pytest.approx(vars(expected))
    few = [PairedLosses(DAYS[:20], each.loss[:20], each.reference[:20], ()) for each in tickers]
    assert panel_diebold_mariano(few) is None


SERIES, AT = walk(2_600), np.arange(2_200, 2_550, 5)
SHOWN, ALL = np.array([1, 5, 10, 20, 50]), np.arange(1, 51)
ACTUAL = np.log(SERIES.close[AT[:, None] + SHOWN] / SERIES.close[AT, None])
VINTAGES = VintageSet.ending_before(date(2006, 1, 1))


def wider(times: float) -> Candidate:
    """A candidate of `times` the ridge regression's widths, shifted up a little."""
    forecast = times * VINTAGES.simple_quantiles(SERIES, AT, ALL) + 0.001
    return Candidate(forecast, forecast, len(AT), None, has_network=True)


CANDIDATES = {LSTM: wider(1.3), CHAMPION: wider(0.5), RIDGE: wider(1.0)}
UNSEEN = ScoringData(SERIES, EvaluationSettings(), date(2006, 1, 1), AT, AT, VINTAGES, VINTAGES)


@cache
def table() -> DistributionTable:
    return distribution_table(UNSEEN, CANDIDATES)


def every_rows_crps(*, symmetric: bool = False) -> dict[str, np.ndarray]:
    assert VINTAGES.regression is not None
    rows = {
        REGRESSION: VINTAGES.regression.quantiles(SERIES, AT, SHOWN),
        PRETRAINED: VINTAGES.network_quantiles(SERIES, AT, SHOWN),
        **{name: each.test[:, SHOWN - 1] for name, each in CANDIDATES.items()},
    }
    if symmetric:
        rows = {name: (each - each[..., ::-1]) / 2 for name, each in rows.items()}
    found = {name: scoringrules.crps_quantile(ACTUAL, each, LEVELS) for name, each in rows.items()}
    return {name: np.asarray(each) for name, each in found.items()}


def test_every_row_is_scored_on_the_same_origins_as_the_oracle_does() -> None:
    found, expected = table(), every_rows_crps()
    assert [*found.scores] == [*expected]
    for name, row in found.scores.items():
        np.testing.assert_allclose(row.crps_by_lead, expected[name].mean(axis=0), atol=1e-9)
        assert row.crps == pytest.approx((expected[name] / np.sqrt(SHOWN)).mean(), abs=1e-9)
        assert row.origins == len(AT)
    assert (found.leads, found.reasons) == (tuple(SHOWN), {})
    assert found.through == VINTAGES.through == date(2005, 6, 30)
    few = distribution_table(UNSEEN, CANDIDATES, simple_rows=False)
    assert (list(few.scores), few.over_simple) == ([*CANDIDATES], found.over_simple)
    assert read_record(DistributionTable, written_record(found)) == found
    short = replace(UNSEEN, settings=EvaluationSettings(horizon=12, direction_step=10))
    assert distribution_table(short, CANDIDATES).leads == (1, 5, 10)


def test_rows_are_compared_with_the_regression_the_champion_and_by_width_with_the_ridge() -> None:
    found = table()
    pairs = [*found.widths.values(), *found.whole.values(), *found.over_simple.values()]
    assert [each.name for each in pairs[:8]] == [PRETRAINED, LSTM, CHAMPION, RIDGE] * 2
    champion, adds = found.against_champion, found.network_adds
    assert champion
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
        assert each.test
        assert vars(each.test) == pytest.approx(vars(expected))
        assert each.interval == each.test.around(each.skill)
    assert replace(champion, test=None).interval is None
    figures = found.figures()
    assert figures["crps_skill"] == found.whole[LSTM].skill
    assert figures["crps_skill_p_value"] == found.whole[LSTM].p_value
    assert figures["crps_skill_of_the_width"] == found.widths[LSTM].skill
    assert figures["pretrained_crps_skill"] == found.widths[PRETRAINED].skill
    assert figures["network_adds_crps"] == adds.skill
    assert figures["network_adds_crps_p_value"] == adds.p_value
    assert figures["crps_against_champion"] == champion.skill


def test_what_training_adds_is_measured_whether_its_network_is_used_or_not() -> None:
    pretrained = VINTAGES.pretrained
    assert pretrained
    members = tuple(replace(each, shape=1.1 * each.shape) for each in pretrained.members)
    trained = replace(pretrained, members=members)
    network = TickerNetwork(
        VINTAGES, trained, used=False, learned_until=np.datetime64("2005-06-30")
    )
    unused, used, nothing = (
        distribution_table(UNSEEN, CANDIDATES | {LSTM: replace(wider(1.3), held_out=each)})
        for each in (network, replace(network, used=True), replace(network, fine_tuned=None))
    )
    pair = (VINTAGES.network_quantiles(SERIES, AT, SHOWN, each) for each in (trained, None))
    ours, left = (
        (scoringrules.crps_quantile(ACTUAL, each, LEVELS) / np.sqrt(SHOWN)).mean() for each in pair
    )
    assert unused.training_adds == used.training_adds
    assert unused.training_adds
    assert unused.training_adds.skill == pytest.approx(1 - ours / left)
    assert nothing.training_adds is None


@pytest.mark.parametrize(
    ("skill", "p_value", "worse", "loses"),
    [
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
    assert [found.is_worse(CHAMPION, clearly=each) for each in (False, True)] == [worse, loses]
    assert not found.is_worse(LSTM, clearly=False)
    assert [row_of(name) for name in (LSTM, CHAMPION, REGRESSION)] == [LSTM, CHAMPION, RIDGE]


def test_without_a_vintage_a_reason_replaces_its_rows_and_the_candidates_are_scored() -> None:
    none = VintageSet.ending_before(date(1990, 1, 1))
    found = distribution_table(replace(UNSEEN, vintages=none), CANDIDATES)
    assert found.reasons == {REGRESSION: none.reasons["regression"]}
    assert (found.through, found.widths, found.whole) == (None, {}, {})
    assert [*found.scores] == [*CANDIDATES]
    assert found.over_simple.keys() == {LSTM, CHAMPION}
    assert found.figures()["crps_skill"] is None
    no_network = replace(VINTAGES, pretrained=None, reasons={"pretrained": "no network"})
    found = distribution_table(replace(UNSEEN, vintages=no_network), {LSTM: wider(1.0)})
    assert ([*found.scores], found.reasons) == ([REGRESSION, LSTM], {PRETRAINED: "no network"})
    assert (found.against_champion, found.network_adds, found.over_simple) == (None, None, {})
