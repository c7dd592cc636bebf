"""A night's rows by CRPS: identical origins, a vintage that saw none of them, figures that an oracle finds too."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import scoringrules

from deployments.replay.recording import recorded_bars
from stockml.errors import InvalidSetting, UnlikeRows
from stockml.evaluation.candidates import Candidate, Scored, TrendPrior
from stockml.evaluation.distribution_table import (
    BASE,
    BLEND,
    DistributionTable,
    SimpleForecast,
    blended,
    distribution_table,
    pool_quantiles,
)
from stockml.evaluation.evaluate import CHAMPION, LSTM, WITHOUT_NETWORK
from stockml.evaluation.significance import DieboldMariano
from stockml.evaluation.simple_distributions import POOLED, SHAPES, DistributionRows, simple_distributions
from stockml.features.windows import origins, split_origins
from stockml.forecasts.conformal import COVERAGES, ConformalIntervals
from stockml.forecasts.error_scaling import absolute_volatility
from stockml.models import base_vintages
from stockml.models.base_network import BaseNetwork
from stockml.models.pooled_regression import LEVELS, PooledRegression
from stockml.models.pooled_vintages import SHIPPED, NoVintage, newest_before, read
from stockml.prices.bars import COLUMNS
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.storage.records import read_record, written_record

SETTINGS = EvaluationSettings()
LEADS = np.array([1, 5, 10, 20, 50])
TO_BEFORE_ANY_VINTAGE = np.timedelta64(7_305, "D")


@cache
def series() -> PriceSeries:
    return PriceSeries.from_bars(recorded_bars("IBM"))


def at_test(of: PriceSeries | None = None, settings: EvaluationSettings = SETTINGS) -> np.ndarray:
    return origins(split_origins(len(of or series()), settings).test, settings.origin_every)


@dataclass(frozen=True)
class Wider(Scored):
    """Bands of so many times the width."""

    times: float

    def log_quantiles(self, series: PriceSeries, at: np.ndarray, leads: np.ndarray) -> np.ndarray:
        return self.times * super().log_quantiles(series, at, leads)


def candidate(of: PriceSeries | None = None) -> Candidate:
    known = of or series()
    return Candidate.of(known, split_origins(len(known), SETTINGS), SETTINGS, TrendPrior(SETTINGS.horizon))


@cache
def prior() -> Scored:
    """What would be published of the trend prior."""
    return candidate().published(series(), at_test())


def wider(times: float) -> Wider:
    return Wider(prior().paths, prior().bands, times)


@cache
def table() -> DistributionTable:
    return distribution_table(series(), at_test(), {LSTM: wider(1.3), CHAMPION: wider(0.5), WITHOUT_NETWORK: prior()})


def outcomes(of: PriceSeries | None = None) -> np.ndarray:
    known, at = of or series(), at_test(of)
    return np.log(known.mid[at[:, None] + LEADS] / known.close[at, None])


def by_oracle(quantiles: np.ndarray, actual: np.ndarray) -> np.ndarray:
    return np.asarray(scoringrules.crps_quantile(actual, quantiles, LEVELS))


def every_rows_quantiles() -> dict[str, np.ndarray]:
    pool = newest_before(series().sessions[at_test()[0]].item())
    assert isinstance(pool, PooledRegression)
    simple = simple_distributions(series(), at_test(), LEADS, pool).quantiles
    own = {LSTM: wider(1.3), CHAMPION: wider(0.5), WITHOUT_NETWORK: prior()}
    base = base_vintages.newest_before(series().sessions[at_test()[0]].item())
    assert isinstance(base, BaseNetwork)
    said = base.quantiles(series(), at_test(), LEADS, pool)
    return {
        **simple,
        BASE: said,
        BLEND: blended(simple[POOLED], said),
        **{name: each.log_quantiles(series(), at_test(), LEADS) for name, each in own.items()},
    }


def test_every_row_stands_there_on_the_same_origins() -> None:
    found = table()
    assert list(found.scores) == [*SHAPES, BASE, BLEND, LSTM, CHAMPION, WITHOUT_NETWORK]
    assert {score.origins for score in found.scores.values()} == {len(at_test())}
    assert found.leads == tuple(LEADS)
    assert found.reasons == {}
    assert set(found.widths) == set(found.whole) == set(found.scores) - {POOLED}
    assert all(each.symmetric for each in found.widths.values())
    assert not any(each.symmetric for each in found.whole.values())


def test_the_crps_of_every_row_is_the_oracles() -> None:
    actual = outcomes()
    for name, quantiles in every_rows_quantiles().items():
        found = by_oracle(quantiles, actual)
        score = table().scores[name]
        np.testing.assert_allclose(score.crps_by_lead, found.mean(axis=0), rtol=0, atol=1e-9)
        assert score.crps == pytest.approx((found / np.sqrt(LEADS)).mean(), abs=1e-9)


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_skill_is_over_the_pooled_regressions_crps(symmetric: bool) -> None:
    actual, quantiles = outcomes(), every_rows_quantiles()
    if symmetric:
        quantiles = {name: (each - each[..., ::-1]) / 2 for name, each in quantiles.items()}
    mean = {name: (by_oracle(each, actual) / np.sqrt(LEADS)).mean() for name, each in quantiles.items()}
    for name, found in (table().widths if symmetric else table().whole).items():
        assert found.reference == POOLED
        assert found.skill == pytest.approx(1 - mean[name] / mean[POOLED], abs=1e-9)


def test_the_network_is_compared_with_the_champion_and_with_the_same_without_it() -> None:
    actual, quantiles = outcomes(), every_rows_quantiles()
    mean = {name: (by_oracle(each, actual) / np.sqrt(LEADS)).mean() for name, each in quantiles.items()}
    for found, reference in ((table().against_champion, CHAMPION), (table().network_adds, WITHOUT_NETWORK)):
        assert found is not None
        assert (found.name, found.reference, found.symmetric) == (LSTM, reference, False)
        assert found.skill == pytest.approx(1 - mean[LSTM] / mean[reference], abs=1e-9)
        assert found.test is not None
    alone = distribution_table(series(), at_test(), {LSTM: prior()})
    assert (alone.against_champion, alone.network_adds) == (None, None)


def test_the_network_adds_nothing_where_the_model_is_the_trend_prior_itself() -> None:
    adds = distribution_table(series(), at_test(), {LSTM: prior(), WITHOUT_NETWORK: prior()}).network_adds
    assert adds is not None
    assert adds.test is not None
    assert (adds.skill, adds.test.p_value) == (0.0, 1.0)


def test_the_quantiles_of_a_row_are_those_of_its_bands_round_its_path() -> None:
    at, said = at_test(), prior()
    found = said.log_quantiles(series(), at, LEADS)
    assert found.shape == (len(at), len(LEADS), len(LEVELS))
    now = absolute_volatility(series().mid)[at]
    for coverage, low, high in zip(COVERAGES, (5, 2, 0), (-6, -3, -1), strict=True):
        sides = said.bands.quantiles(said.paths, now, coverage)
        for side, place in zip(sides, (low, high), strict=True):
            expected = np.log(side[:, LEADS - 1] / series().close[at, None])
            np.testing.assert_allclose(found[..., place], expected, atol=1e-12)


def test_the_vintage_is_the_newest_that_ends_before_the_first_origin() -> None:
    first = series().sessions[at_test()[0]].item()
    ends = [read(path).through for path in SHIPPED.glob("pooled-*.json")]
    assert table().through == max(end for end in ends if end < first)
    assert any(end >= first for end in ends), "a newer one, that has seen what is scored, is at hand"
    later = at_test()[60:]
    moved = distribution_table(series(), later, {LSTM: Scored(prior().paths[60:], prior().bands)})
    assert moved.through == max(end for end in ends if end < series().sessions[later[0]].item())
    assert moved.through > table().through


def test_a_vintage_that_has_seen_an_origin_is_refused() -> None:
    at = at_test()
    seen = next(p for p in map(read, SHIPPED.glob("pooled-*.json")) if p.through >= series().sessions[at[0]].item())
    with pytest.raises(InvalidSetting, match="before the origin"):
        simple_distributions(series(), at, LEADS, seen)


def test_before_the_first_vintage_the_row_is_a_reason_and_nobody_loses_to_it() -> None:
    early = replace(series(), sessions=series().sessions - TO_BEFORE_ANY_VINTAGE)
    found = distribution_table(early, at_test(), {LSTM: wider(9.0), WITHOUT_NETWORK: prior()})
    reason = newest_before(early.sessions[at_test()[0]].item())
    assert isinstance(reason, NoVintage)
    assert found.reasons == {POOLED: str(reason)}
    assert (found.through, found.widths, found.whole) == (None, {}, {})
    assert list(found.scores) == [LSTM, WITHOUT_NETWORK]
    assert found.network_adds is not None
    assert not found.loses_to_the_strongest_simple(LSTM)
    assert found.figures()["crps_skill"] is None
    assert pool_quantiles(early, np.array([len(early) - 1]), SETTINGS.horizon, with_base=False) is None


def test_a_history_too_short_for_a_row_gives_its_reason_and_leaves_the_others() -> None:
    short = series().until(2_600)
    short = replace(short, **{name: getattr(short, name)[900:] for name in ("sessions", *COLUMNS)})
    settings = SETTINGS.changed(test_sessions=300, validation_sessions=300)
    at = at_test(short, settings)
    split = split_origins(len(short), settings)
    said = Candidate.of(short, split, settings, TrendPrior(settings.horizon)).published(short, at)
    found = distribution_table(short, at, {LSTM: said})
    assert list(found.reasons) == ["HAR range (ticker's own)"]
    assert "2000" in found.reasons["HAR range (ticker's own)"].replace(",", "")
    assert set(found.scores) == {*SHAPES, BASE, BLEND, LSTM} - set(found.reasons)


def test_rows_of_other_origins_are_refused_with_both_named() -> None:
    at = at_test()
    rows = DistributionRows(at, LEADS, {LSTM: prior().log_quantiles(series(), at, LEADS)}, {})
    others = at[1:] - 1
    with pytest.raises(
        UnlikeRows, match=f"of {CHAMPION} to be those of {LSTM}, .* to {at[-1]}; found .* to {at[-1] - 1}"
    ):
        rows.with_row(CHAMPION, others, LEADS, np.zeros((len(others), len(LEADS), len(LEVELS))))


def test_nothing_after_an_origin_but_its_outcome_has_a_say() -> None:
    """Other bars after the first origin: no row says anything else there, and no row's width either."""
    at = at_test()
    first = int(at[0])
    columns = {name: getattr(series(), name).copy() for name in ("open", "high", "low", "close")}
    for each in columns.values():
        each[first + 1 :] *= 3
    other = replace(series(), **columns)
    pool = newest_before(series().sessions[first].item())
    assert isinstance(pool, PooledRegression)
    one, two = (simple_distributions(each, at, LEADS, pool).quantiles for each in (series(), other))
    for name in one:
        np.testing.assert_array_equal(one[name][0], two[name][0])
    said = [candidate(each).published(each, at).log_quantiles(each, at, LEADS)[0] for each in (series(), other)]
    np.testing.assert_array_equal(*said)


@pytest.mark.parametrize(("times", "loses"), [(1.0, True), (9.0, True), (0.75, True)])
def test_a_row_loses_to_the_pooled_regression_by_however_little(times: float, loses: bool) -> None:
    found = distribution_table(series(), at_test(), {LSTM: wider(times)})
    whole = found.whole[LSTM]
    assert (whole.skill < 0) is loses
    assert found.loses_to_the_strongest_simple(LSTM) is loses
    assert not found.loses_to_the_strongest_simple(CHAMPION)


def test_the_figures_are_those_of_the_network() -> None:
    found, figures = table(), table().figures()
    assert found.network_adds is not None
    assert found.network_adds.test is not None
    assert found.against_champion is not None
    assert figures["crps_skill"] == found.whole[LSTM].skill
    assert figures["crps_skill_of_the_width"] == found.widths[LSTM].skill
    assert figures["network_adds_crps"] == found.network_adds.skill
    assert figures["network_adds_crps_p_value"] == found.network_adds.test.p_value
    assert figures["crps_against_champion"] == found.against_champion.skill


def test_a_short_horizon_has_the_leads_that_it_reaches() -> None:
    settings = SETTINGS.changed(horizon=12, direction_step=10)
    at = at_test(settings=settings)
    said = Scored(prior().paths[: len(at), :12], _shorter(prior().bands, 12))
    assert distribution_table(series(), at[: len(prior().paths)], {LSTM: said}).leads == (1, 5, 10)


def _shorter(bands: ConformalIntervals, horizon: int) -> ConformalIntervals:
    return replace(bands, shape=bands.shape[:horizon])


def test_a_table_survives_json() -> None:
    assert read_record(DistributionTable, written_record(table())) == table()


def test_the_simple_forecast_is_the_close_with_the_vintages_quantiles() -> None:
    at = at_test()
    pool = newest_before(series().sessions[at[0]].item())
    assert isinstance(pool, PooledRegression)
    found, leads = SimpleForecast.of(series(), at, 50, with_base=False), np.arange(1, 51)
    said = pool.quantiles(series(), at, leads)
    np.testing.assert_array_equal(found.quantiles, said)
    np.testing.assert_array_equal(found.paths, np.repeat(series().close[at, None], 50, axis=1))
    for coverage, (low, high) in found.limits().items():
        below = series().close[at, None] * np.exp([said[..., 5], said[..., 2], said[..., 0]])
        place = COVERAGES.index(coverage)
        np.testing.assert_allclose(low, below[place])
        assert np.all(low < high)
    chances = found.rises(series(), at, 30)
    assert np.all((chances > 0.4) & (chances < 0.8))
    for row, chance in enumerate(chances):
        below_close = np.interp(0.0, said[row, 29], LEVELS)
        assert chance == pytest.approx(1 - below_close)


def test_beyond_the_furthest_lead_that_was_learned_the_width_grows_with_the_root_of_time() -> None:
    found = pool_quantiles(series(), at_test()[:3], 200, with_base=False)
    assert found is not None
    assert found.shape == (3, 200, len(LEVELS))
    np.testing.assert_allclose(found[:, 199], 2 * found[:, 49])
    near = pool_quantiles(series(), at_test()[:3], 50, with_base=False)
    assert near is not None
    np.testing.assert_array_equal(found[:, :50], near)


def test_the_blend_differs_from_the_regression_by_the_networks_width_alone() -> None:
    quantiles = every_rows_quantiles()
    blend, regression, base = quantiles[BLEND], quantiles[POOLED], quantiles[BASE]
    assert (np.diff(blend, axis=-1) >= 0).all()
    np.testing.assert_allclose(blend + blend[..., ::-1], regression + regression[..., ::-1], atol=1e-12)
    width = (regression - regression[..., ::-1]) / 2
    np.testing.assert_allclose((blend - blend[..., ::-1]) / 2, (width + base) / 2, atol=1e-12)
    np.testing.assert_allclose(blended(regression, width), regression, atol=1e-12)


def test_a_base_that_is_significantly_worse_than_the_regression_is_not_as_good() -> None:
    found = table()
    assert found.base_is_as_good()
    worse = replace(found.whole[LSTM], skill=-0.1, test=DieboldMariano(9.0, 0.001, 0.0))
    assert not replace(found, whole={**found.whole, BLEND: worse}).base_is_as_good()
    assert not replace(found, whole={}).base_is_as_good()
