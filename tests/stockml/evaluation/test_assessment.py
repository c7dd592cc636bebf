"""Whose path is published, and beside whom it was measured: stand-ins that foretell a share of what came, real prices.

Bars from before the first vintage of the pooled regression show what is published where there is none to compare with.
"""

from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from deployments.replay.recording import recorded_bars
from stockml.errors import InvalidFile
from stockml.evaluation.assessment import Assessment, assess, read_assessment, write_assessment
from stockml.evaluation.candidates import TrendPrior
from stockml.evaluation.distribution_table import BLEND, SimpleForecast, pool_quantiles
from stockml.evaluation.evaluate import (
    CHAMPION,
    LAST_CLOSE,
    LSTM,
    PUBLISHED,
    TREND_PRIOR,
    WITHOUT_NETWORK,
    evaluate,
)
from stockml.evaluation.metrics import Score
from stockml.features.windows import origins, split_origins
from stockml.forecasts.conformal import ConformalIntervals, score_bands
from stockml.forecasts.error_scaling import absolute_volatility
from stockml.forecasts.shrinkage import OutOfSampleMoments, combined
from stockml.models.baselines import BASELINES
from stockml.models.pooled_regression import LEVELS, PooledRegression
from stockml.models.pooled_vintages import newest_before
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.storage.files import sha256_of
from tests.support.walks import walk

SETTINGS = EvaluationSettings()
NIGHT = date(2013, 3, 1)
LONG_AGO, LATELY = np.datetime64("1975-01-03"), np.datetime64("2013-02-20")
YEARS = np.timedelta64(7_305, "D")  # twenty, to before the first vintage
AGE = 7  # sessions after LATELY


@dataclass(frozen=True)
class ShareOfDrift:
    """Follows `share` of the drift from the last close; negative shares go the wrong way."""

    share: float
    learned_until: np.datetime64 = LONG_AGO

    def paths(self, series: PriceSeries, origins: np.ndarray) -> np.ndarray:
        moves = BASELINES["drift"].path(series.mid, origins, SETTINGS.horizon) - series.mid[origins, None]
        return series.close[origins, None] + self.share * moves


@dataclass(frozen=True)
class Seer:
    """Foretells `share` of every move from the close that the series knows of; after its end, one percent a session."""

    share: float
    learned_until: np.datetime64 = LONG_AGO

    def paths(self, series: PriceSeries, origins: np.ndarray) -> np.ndarray:
        leads = np.arange(1, SETTINGS.horizon + 1)
        beyond = series.close[-1] * (1 + 0.01 * leads)
        start = series.close[origins][:, None]
        came = np.concatenate([series.mid, beyond])[origins[:, None] + leads]
        return start + self.share * (came - start)


@dataclass(frozen=True)
class Turncoat:
    """Foretells half of every move, until 700 sessions before the end; from then on the opposite of all of it."""

    learned_until: np.datetime64 = LONG_AGO

    def paths(self, series: PriceSeries, origins: np.ndarray) -> np.ndarray:
        turned = np.asarray(origins)[:, None] >= len(series) - 700
        return np.where(turned, Seer(-1.0).paths(series, origins), Seer(0.5).paths(series, origins))


Says = ShareOfDrift | Seer | Turncoat


@dataclass(frozen=True)
class StandIn:
    held_out: Says
    published: Says

    @classmethod
    def following(cls, share: float) -> "StandIn":
        return cls(ShareOfDrift(share), ShareOfDrift(share, LATELY))

    @classmethod
    def seeing(cls, share: float, *, until: np.datetime64 = LATELY) -> "StandIn":
        return cls(Seer(share), Seer(share, until))


@cache
def series() -> PriceSeries:
    return PriceSeries.from_bars(recorded_bars("IBM"))


@cache
def early() -> PriceSeries:
    """The same bars, dated before any vintage of the pooled regression."""
    return replace(series(), sessions=series().sessions - YEARS)


def assessed(
    model: StandIn | TrendPrior, champion: StandIn | None = None, *, of: PriceSeries | None = None, kept: bool = False
) -> Assessment:
    upcoming = sessions_for("IBM").after(NIGHT, SETTINGS.horizon)
    return assess(of or series(), model, champion, SETTINGS, upcoming, kept=kept)


@pytest.mark.parametrize(
    ("challenger", "champion", "promoted", "publisher"),
    [
        (0.3, None, True, LSTM),
        (0.3, 0.1, True, LSTM),
        (0.1, 0.3, False, CHAMPION),
        (-0.6, 0.3, False, CHAMPION),
        (-0.6, None, False, LAST_CLOSE),
    ],
)
def test_the_better_model_publishes_and_nobody_where_none_has_shown_skill(
    challenger: float, champion: float | None, promoted: bool, publisher: str
) -> None:
    rival = None if champion is None else StandIn.seeing(champion, until=LATELY - YEARS)
    found = assessed(StandIn.seeing(challenger), rival, of=early())
    assert (found.verdict.promoted, found.publisher) == (promoted, publisher)
    shares = {LSTM: Seer(challenger), CHAMPION: Seer(champion or 0.0), LAST_CLOSE: Seer(0.0)}
    weights, skill = shown(shares[publisher])
    assert (found.forecast.weights, found.published.validated_skill) == (weights, skill)
    assert (found.model.weights, found.model.validated_skill) == shown(Seer(challenger))
    numbers = found.verdict.numbers
    assert (numbers["weight_of_first_lead"], numbers["weight_of_last_lead"]) == (weights[0], weights[-1])
    assert numbers["validated_skill"] == skill


def unseen(until: int | None = None) -> np.ndarray:
    """The origins of the validation and test parts whose outcomes were known after session `until`."""
    split = split_origins(len(series()), SETTINGS)
    at = np.concatenate([origins(part, 1) for part in (split.validation, split.test)])
    return at if until is None else at[at + SETTINGS.horizon <= until]


def shown(says: Says, until: int | None = None) -> tuple[tuple[float, ...], float | None]:
    """Weights and skill of these paths, on all that was known after `until`."""
    at = unseen(until)
    found = OutOfSampleMoments.of(series(), at, says.paths(series(), at), SETTINGS)
    return tuple(found.weights(np.array([len(series())]))[0].tolist()), found.skill()


def scored(paths: np.ndarray, at: np.ndarray) -> Score:
    found = evaluate(series().mid, at, {PUBLISHED: paths}, SETTINGS, close=series().close)
    return found.scores[PUBLISHED]


@pytest.mark.parametrize(("share", "weight"), [(0.5, 1.0), (1.6, 0.25), (1.8, 1 / 9)])
def test_what_is_published_is_scored_as_it_is_published(share: float, weight: float) -> None:
    found = assessed(StandIn.seeing(share))
    test, weights = found.test_origins, np.full(SETTINGS.horizon, weight)
    assert found.publisher == LSTM
    assert found.forecast.weights == pytest.approx(weights)
    paths = combined(series().close[test], Seer(share).paths(series(), test), weights)
    assert found.evaluation.scores[PUBLISHED].mse == pytest.approx(scored(paths, test).mse)
    moved = np.array(found.forecast.path) / found.forecast.now - 1
    assert moved == pytest.approx(0.01 * share * weight * np.arange(1, SETTINGS.horizon + 1))


def test_a_forecast_knows_the_close_and_starts_from_it() -> None:
    found = assessed(StandIn.seeing(0.5)).forecast
    assert (found.last_close, found.last_value) == (series().close[-1], series().mid[-1])
    assert found.now == found.last_close == 202.91
    assert found.last_value == 201.15


def test_each_origin_is_scored_with_the_weight_that_was_known_then() -> None:
    turned = StandIn(Turncoat(), Turncoat())
    found = assessed(turned, turned, of=early(), kept=True)
    test = found.test_origins
    weights = np.array([shown(Turncoat(), until=origin)[0] for origin in test])
    assert weights[:, -1].max() == 1.0
    assert weights[-1, -1] == 0.0
    paths = combined(series().close[test], Turncoat().paths(series(), test), weights)
    assert found.evaluation.scores[PUBLISHED].mse == pytest.approx(scored(paths, test).mse)


def test_a_promoted_model_that_has_not_been_right_publishes_the_last_close_and_says_so() -> None:
    found = assessed(StandIn.following(1.0), of=early())
    assert (shown(ShareOfDrift(1.0))[1] or 0) < 0
    assert (found.verdict.promoted, found.publisher, any(found.forecast.weights)) == (True, LSTM, False)
    assert set(found.forecast.path) == {found.forecast.last_close}
    assert found.forecast.no_skill


def test_the_bands_that_are_scored_know_nothing_of_the_test_part() -> None:
    """A test part that turns the weight of tonight about leaves the bands of its first origins as they were."""
    turned, own = StandIn(Turncoat(), Turncoat()), Turncoat()
    found = assessed(turned, turned, of=early(), kept=True)
    split = split_origins(len(series()), SETTINGS)
    at = origins(split.validation, SETTINGS.origin_every)
    before = np.array(shown(own, until=split.test.start)[0])
    assert before[-1] == 1.0
    assert found.forecast.weights[-1] == 0.0
    bands = ConformalIntervals.fit(series().mid, at, combined(series().close[at], own.paths(series(), at), before))
    test = found.test_origins
    weights = np.array([shown(own, until=origin)[0] for origin in test])
    paths = combined(series().close[test], own.paths(series(), test), weights)
    assert found.band_scores == score_bands(bands, series().mid, test, paths)


def test_without_skill_the_path_is_the_last_close_with_its_bands() -> None:
    found = assessed(StandIn.seeing(-0.6), of=early())
    forecast, close = found.forecast, series().close[-1]
    assert set(forecast.path) == {forecast.last_close} == {close}
    assert forecast.no_skill
    low, high = found.published.bands.quantiles(np.full(50, close), float(absolute_volatility(series().mid)[-1]), 0.8)
    assert (forecast.band(80).low, forecast.band(80).high) == (tuple(low), tuple(high))
    assert forecast.band(80).low[-1] < close < forecast.band(80).high[-1]
    assert forecast.band(80).high[0] < forecast.band(80).high[-1]


def vintage(before: object) -> PooledRegression:
    found = newest_before(before)
    assert isinstance(found, PooledRegression)
    return found


FALLING_BACK = {
    "promoted": (StandIn.following(0.5), None, False),
    "kept": (StandIn.following(0.5), StandIn.following(0.5), True),
    "the champion's": (StandIn.seeing(-0.6), StandIn.following(0.5), False),
    "nobody's": (StandIn.seeing(-0.6), None, False),
    "one with skill": (StandIn.seeing(0.005), None, False),
}


@pytest.mark.parametrize("name", FALLING_BACK)
def test_a_distribution_that_is_significantly_worse_than_the_pooled_regressions_is_not_published(name: str) -> None:
    model, champion, kept = FALLING_BACK[name]
    found = assessed(model, champion, kept=kept)
    forecast, close = found.forecast, series().close[-1]
    author = {"the champion's": CHAMPION, "nobody's": LAST_CLOSE}.get(name, LSTM)
    assert any(found.published.weights) is (name == "one with skill")
    assert found.distributions is not None
    worse = found.distributions.whole[author]
    assert worse.test is not None
    assert worse.skill < 0
    assert worse.test.p_value < 0.05
    assert found.publisher == BLEND
    assert forecast.path == (close,) * SETTINGS.horizon
    assert forecast.weights == (0.0,) * SETTINGS.horizon
    assert (found.verdict.numbers["weight_of_first_lead"], found.verdict.numbers["weight_of_last_lead"]) == (0.0, 0.0)
    quantiles = pool_quantiles(series(), np.array([len(series()) - 1]), SETTINGS.horizon, with_base=True)
    assert quantiles is not None
    said = quantiles[0]
    for band, low, high in ((50, 0.25, 0.75), (80, 0.1, 0.9), (95, 0.025, 0.975)):
        sides = [close * np.exp(said[:, np.argmin(np.abs(LEVELS - side))]) for side in (low, high)]
        np.testing.assert_allclose([forecast.band(band).low, forecast.band(band).high], sides)
    rise = 1 - np.interp(0.0, said[SETTINGS.direction_step - 1], LEVELS)
    assert forecast.probability_of_rise == pytest.approx(rise)


def test_without_the_base_network_the_regression_stands_by_itself() -> None:
    newest, leads = np.array([len(series()) - 1]), np.arange(1, SETTINGS.horizon + 1)
    found = SimpleForecast.of(series(), newest, SETTINGS.horizon, with_base=False)
    said = vintage(NIGHT).quantiles(series(), newest, leads)
    np.testing.assert_array_equal(found.quantiles, said)
    assert (SimpleForecast.of(series(), newest, SETTINGS.horizon, with_base=True).quantiles != said).any()


def test_what_the_pool_publishes_is_scored_as_it_is_published() -> None:
    """By the vintage that had seen nothing of the test part, though tonight's is a newer one."""
    found = assessed(StandIn.following(0.5))
    assert found.publisher == BLEND
    test, leads, close = found.test_origins, np.arange(1, SETTINGS.horizon + 1), series().close
    assert found.distributions is not None
    older = vintage(series().sessions[test[0]].item())
    assert older.through == found.distributions.through
    assert older.through < series().sessions[test[0]].item()
    assert older.through < vintage(NIGHT).through
    published, naive = (found.evaluation.scores[name] for name in (PUBLISHED, LAST_CLOSE))
    assert (published.skill, published.mse) == (0.0, naive.mse)
    said = pool_quantiles(series(), test, SETTINGS.horizon, with_base=True)
    assert said is not None
    actual = np.log(series().mid[test[:, None] + leads] / close[test, None])
    inside = (said[..., 2] <= actual) & (actual <= said[..., -3])
    assert found.band_scores.bands["80"].coverage == pytest.approx(inside.mean())
    step = SETTINGS.direction_step - 1
    rises = np.array([1 - np.interp(0.0, row, LEVELS) for row in said[:, step]])
    assert published.direction.brier == pytest.approx(np.mean((rises - (actual[:, step] > 0)) ** 2))


def test_the_trend_prior_itself_adds_nothing_and_publishes_what_is_published_without_a_network() -> None:
    for of in (series(), early()):
        found = assessed(TrendPrior(SETTINGS.horizon), of=of)
        scores = found.evaluation.scores
        assert scores[LSTM] == scores[TREND_PRIOR]
        assert scores[PUBLISHED].mse_by_lead == scores[WITHOUT_NETWORK].mse_by_lead
        assert found.verdict.numbers["network_adds"] == 0.0
        assert found.verdict.numbers["network_adds_p_value"] == 1.0
        assert found.verdict.numbers["network_adds_crps"] == 0.0


def test_where_both_fall_back_the_network_neither_adds_nor_takes() -> None:
    found = assessed(StandIn.following(0.5))
    assert found.distributions is not None
    assert found.distributions.loses_to_the_strongest_simple(WITHOUT_NETWORK)
    scores = found.evaluation.scores
    assert scores[PUBLISHED].mse_by_lead == scores[WITHOUT_NETWORK].mse_by_lead
    assert found.verdict.numbers["network_adds"] == 0.0


def test_what_a_network_foretells_beyond_the_prior_is_what_it_adds() -> None:
    found = assessed(StandIn.seeing(0.5))
    scores, adds = found.evaluation.scores, found.evaluation.comparison(PUBLISHED, WITHOUT_NETWORK)
    assert adds is not None
    assert adds.test is not None
    assert adds.skill_difference == pytest.approx((scores[PUBLISHED].skill or 0) - (scores[WITHOUT_NETWORK].skill or 0))
    assert found.verdict.numbers["network_adds"] == adds.skill_difference > 0.5
    assert adds.test.p_value < 0.05


def test_a_champion_that_differs_by_a_few_millionths_stays() -> None:
    """The old gate took the lower error, whatever the difference; and a test alone would find this one regular."""
    found = assessed(StandIn.seeing(0.100001), StandIn.seeing(0.1))
    numbers = found.verdict.numbers
    assert 0 < 1 - numbers["challenger_mse"] / numbers["champion_mse"] < 4e-6
    assert (found.verdict.promoted, found.publisher) == (False, CHAMPION)
    assert f"the champion of {AGE} sessions ago stays" in found.verdict.reason


@pytest.mark.parametrize(("limit", "promoted"), [(AGE, True), (AGE + 1, False)])
def test_a_champion_gives_way_to_one_as_good_after_as_many_sessions_as_the_settings_say(
    limit: int, promoted: bool
) -> None:
    settings = SETTINGS.changed(replace_after_sessions=limit)
    upcoming = sessions_for("IBM").after(NIGHT, SETTINGS.horizon)
    found = assess(series(), StandIn.seeing(0.1), StandIn.seeing(0.1), settings, upcoming)
    assert found.verdict.promoted is promoted


def test_a_champion_that_learned_from_tonights_test_part_is_named_and_not_scored_on_it() -> None:
    late = StandIn(Seer(0.9, np.datetime64("2012-01-03")), Seer(0.9, LATELY))
    found = assessed(StandIn.seeing(0.2), late)
    assert CHAMPION not in found.evaluation.scores
    assert found.verdict.promoted
    assert found.verdict.reason.startswith("the champion has no score (it has seen sessions through 2012-01-03,")
    assert "first" not in found.verdict.reason.split(")")[-1]


def test_a_night_without_training_scores_the_champion_once_and_publishes_it() -> None:
    same = StandIn.seeing(0.5)
    found = assessed(same, same, kept=True)
    assert (found.publisher, found.verdict.promoted) == (LSTM, False)
    assert CHAMPION not in found.evaluation.scores


def test_a_price_that_never_moved_is_assessed_and_written_without_a_figure_for_it(tmp_path: Path) -> None:
    still = np.full(4_000, 20.0)
    dead = PriceSeries(walk(4_000).sessions, still, still, still, still, np.ones(4_000))
    found = assessed(StandIn.seeing(0.5), of=dead)
    assert found.distributions is not None
    assert found.distributions.network_adds is None
    assert "crps_against_champion" not in found.verdict.numbers
    write_assessment(found, tmp_path)
    assert read_assessment(tmp_path).distributions == found.distributions


def test_a_longer_horizon_than_the_pooled_regressions_is_published_too() -> None:
    settings = SETTINGS.changed(horizon=60)
    found = assess(series(), TrendPrior(60), None, settings, sessions_for("IBM").after(NIGHT, 60))
    assert found.publisher == BLEND
    high = np.log(np.array(found.forecast.band(80).high) / found.forecast.now)
    np.testing.assert_allclose(high[50:], high[49] * np.sqrt(np.arange(51, 61) / 50))


def test_what_is_written_is_read_again_and_equal_assessments_give_equal_bytes(tmp_path: Path) -> None:
    found = assessed(StandIn.seeing(0.3), StandIn.seeing(0.1))
    for name in ("a", "b"):
        write_assessment(found, tmp_path / name)
    again = read_assessment(tmp_path / "a")
    assert (again.evaluation, again.forecast) == (found.evaluation, found.forecast)
    assert (again.published, again.model, again.verdict) == (found.published, found.model, found.verdict)
    assert (again.distributions, again.publisher) == (found.distributions, found.publisher)
    assert sha256_of(str(tmp_path / "a")) == sha256_of(str(tmp_path / "b"))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"session": "2013-03-01"}'])
def test_what_is_not_an_assessment_is_an_error_that_names_the_folder(content: str, tmp_path: Path) -> None:
    write_assessment(assessed(StandIn.following(0.6), None), tmp_path)
    (tmp_path / "assessment.json").write_text(content)
    with pytest.raises(InvalidFile, match=f"{tmp_path.name}: expected an assessment"):
        read_assessment(tmp_path)
