"""What is published, from which model, and against what it is measured: too narrow networks,
foretelling paths."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from stockml.errors import InvalidFile, InvalidSetting
from stockml.evaluation.assessment import Assessment, assess, read_assessment, write_assessment
from stockml.evaluation.candidates import ScoringData, quantiles_after
from stockml.evaluation.outlook_scores import touches
from stockml.evaluation.path_scores import CHAMPION, LSTM, PUBLISHED, evaluate
from stockml.features.origins import every_nth
from stockml.forecasts.outlook import annualised, chance_above, outlooks
from stockml.models.regressions import RIDGE, published_median
from stockml.models.trained_model import FINE_TUNED, Decision, TrainedModel
from stockml.models.tutorial_recipe import TutorialForecaster, TutorialScale, prepare
from stockml.models.vintage_set import VintageSet
from stockml.prices.series import PriceSeries
from stockml.settings import settings_for
from stockml.storage.files import sha256_of
from stockml.training.ticker_training import split_after_vintages, train_ticker
from tests.stockml.evaluation.seers import (
    AGE,
    LEADS,
    NARROW,
    SERIES,
    SETTINGS,
    SPLIT,
    TEST,
    USUAL,
    Model,
    after,
    assessed,
    candidate,
    seeing,
    wide,
)
from tests.support.walks import (
    SMALL,
    altered_after,
    begins_tenfold,
    constant,
    hole_of_a_year,
    with_prices,
)

BEFORE_ANY_VINTAGE = np.timedelta64(10_000, "D")
UNSEEN = np.concatenate([every_nth(part, 5) for part in (SPLIT.validation, SPLIT.test)])


GOOD, FAIR, BAD = seeing(0.3), seeing(0.1), seeing(-0.6)


def first_model(series: PriceSeries) -> TrainedModel:
    settings = SMALL.changed(evaluation=SETTINGS)
    return train_ticker(series, settings, Decision("retrain", "first"), start=None)


def first_night(series: PriceSeries) -> Assessment:
    split = split_after_vintages(series, SETTINGS)
    return assess(series, first_model(series), None, SETTINGS, after(series), split)


@pytest.mark.parametrize(
    ("challenger", "champion", "promoted", "publisher"),
    [
        (USUAL, None, True, LSTM),
        (NARROW, None, False, RIDGE),
        (NARROW, USUAL, False, CHAMPION),
        (wide(6.0), USUAL, False, CHAMPION),
        (USUAL, NARROW, True, LSTM),
        (GOOD, FAIR, True, LSTM),
        (FAIR, GOOD, False, CHAMPION),
        (BAD, None, False, RIDGE),
    ],
)
def test_the_better_model_is_published_or_none_if_it_is_worse_than_without_a_network(
    challenger: Model, champion: Model | None, promoted: bool, publisher: str
) -> None:
    found = assessed(challenger, champion)
    assert (found.verdict.promoted, found.publisher) == (promoted, publisher)
    author = candidate({LSTM: challenger, CHAMPION: champion}.get(publisher))
    of_mids = author.forecasts_path
    assert found.forecast.price == ("mid" if of_mids else "close")
    assert found.forecast.last_value == (SERIES.mid if of_mids else SERIES.close)[-1]
    assert found.forecast.last_close == SERIES.close[-1]
    assert found.forecast.path == tuple((SERIES.close[-1] * np.exp(author.tonight[0]))[:, 10])
    width_by = RIDGE if of_mids or publisher == RIDGE else FINE_TUNED
    assert found.forecast.width_by == width_by
    assert set(found.forecast.weights) == {float(width_by != RIDGE)}
    assert found.paths[PUBLISHED] == pytest.approx(author.paths(SERIES.close[TEST]))
    adds = found.distributions.over_simple[CHAMPION if publisher == CHAMPION else LSTM]
    assert found.verdict.numbers["network_adds_crps"] == adds.skill


def test_a_pretrained_network_that_has_seen_a_session_it_would_be_scored_on_is_refused() -> None:
    vintages, first = USUAL.held_out.vintages, SERIES.sessions[SPLIT.validation.start].item()

    def scored_with_a_network_through(day: date) -> None:
        seen = replace(vintages, pretrained=replace(vintages.pretrained, through=day))
        model = replace(USUAL, held_out=replace(USUAL.held_out, vintages=seen))
        ScoringData.of(SERIES, SPLIT, SETTINGS, model)

    scored_with_a_network_through(first - timedelta(days=1))
    with pytest.raises(InvalidSetting, match=f"the vintages .* found '{first}'"):
        scored_with_a_network_through(first)


def test_a_path_that_is_worse_by_any_amount_is_not_published_even_if_promoted() -> None:
    found = assessed(seeing(-0.002))
    worse = found.distributions.over_simple[LSTM]
    assert worse.skill < 0
    assert worse.p_value
    assert worse.p_value >= 0.05
    assert (found.verdict.promoted, found.publisher) == (True, RIDGE)
    assert found.forecast.without_network


def test_without_a_network_the_path_is_the_close_plus_half_the_usual_rise() -> None:
    forecast = assessed(BAD).forecast
    rise = published_median(SERIES, np.array([len(SERIES) - 1]), LEADS)[0]
    np.testing.assert_allclose(np.log(np.array(forecast.path) / SERIES.close[-1]), rise, atol=1e-12)
    assert forecast.without_network
    assert assessed(NARROW).forecast.path == forecast.path


@pytest.mark.parametrize(("limit", "promoted"), [(AGE, True), (AGE + 1, False)])
def test_a_champion_gives_way_to_an_equally_good_model_after_the_configured_sessions(
    limit: int, promoted: bool
) -> None:
    settings = SETTINGS.changed(replace_after_sessions=limit)
    found = assess(SERIES, wide(1.0001), USUAL, settings, after(SERIES), SPLIT)
    assert found.verdict.promoted is promoted
    assert f"{AGE} sessions" in found.verdict.reason


def test_a_champion_that_has_no_score_is_replaced_and_why_is_said() -> None:
    late = SERIES.sessions[SPLIT.validation.start]
    seen = Model(replace(USUAL.held_out, learned_until=late), USUAL.published)  # type: ignore[type-var]
    found = assessed(USUAL, seen)
    assert CHAMPION not in found.distributions.scores
    why = "an earlier version's"
    unreadable = assess(SERIES, USUAL, None, SETTINGS, after(SERIES), SPLIT, unreadable=why)
    for night, said in ((found, f"it has seen sessions through {late},"), (unreadable, why)):
        assert night.verdict.promoted
        assert night.verdict.reason.startswith(f"the champion has no score ({said}")


def test_a_kept_model_is_scored_once_and_published() -> None:
    found = assessed(USUAL, USUAL, kept=True)
    assert (found.publisher, found.verdict.promoted, found.kept) == (LSTM, False, True)
    assert CHAMPION not in found.distributions.scores
    assert found.verdict.reason.endswith("the champion stays")


def test_before_any_vintage_the_simple_forecast_is_published_with_the_reason() -> None:
    early = replace(SERIES, sessions=SERIES.sessions - BEFORE_ANY_VINTAGE)
    found = first_night(early)
    assert (found.publisher, found.forecast.without_network) == (RIDGE, True)
    (reason,) = found.distributions.reasons.values()
    assert "the oldest has seen sessions through 1999-06-30" in reason
    assert not {"crps_skill", "network_adds_crps"} & found.verdict.numbers.keys()
    assert np.isfinite(found.forecast.path).all()


def test_with_a_pretrained_network_for_tonight_only_the_network_is_unscored_and_not_published() -> (
    None
):
    around = replace(SERIES, sessions=SERIES.sessions - np.timedelta64(1_400, "D"))
    model = first_model(around)
    assert model.published.vintages.pretrained is not None
    nothing = VintageSet.ending_before(date(1990, 1, 1))
    none = replace(model.held_out, vintages=nothing, learned_until=around.sessions[0])
    unscored = replace(model, held_out=none)
    found = assess(around, unscored, None, SETTINGS, after(around), SPLIT)
    assert (found.publisher, found.forecast.without_network) == (RIDGE, True)
    assert found.distributions.network_adds is None


@pytest.mark.slow
@pytest.mark.parametrize("series", [constant(), begins_tenfold(), hole_of_a_year()])
def test_whatever_the_prices_bands_are_finite_and_in_order_and_the_assessment_is_saved(
    series: PriceSeries, tmp_path: Path
) -> None:
    found = first_night(series)
    limits = [found.forecast.band(95).low, found.forecast.band(80).low, found.forecast.band(50).low]
    limits += [found.forecast.path, found.forecast.band(50).high, found.forecast.band(95).high]
    assert np.isfinite(limits).all()
    assert (np.diff(np.array(limits), axis=0) >= 0).all()
    write_assessment(found, tmp_path)
    assert read_assessment(tmp_path).distributions == found.distributions


def test_a_change_of_units_changes_no_figure_of_the_paths() -> None:
    """Pence until two months into the test part, then pounds: averages, drift and scale span the
    change."""
    in_pence_first = with_prices(SERIES, np.where(np.arange(len(SERIES)) < TEST[12], 100.0, 1.0))
    found = assess(in_pence_first, USUAL, None, SETTINGS, after(SERIES), SPLIT)
    assert 0 < len(found.test_origins) < len(TEST)
    units = np.where(found.test_origins < TEST[12], 100.0, 1.0)
    published = {PUBLISHED: found.paths[PUBLISHED] / units[:, None]}
    same = evaluate(SERIES.close, found.test_origins, published, SETTINGS, {}, close=SERIES.close)
    for name, expected in same.scores.items():
        score = found.evaluation.scores[name]
        for figure in ("mse", "mase", "rmse", "mae", "skill"):
            one, other = getattr(score, figure), getattr(expected, figure)
            assert one == pytest.approx(other), (name, figure)


def test_a_horizon_beyond_the_learned_leads_is_published_too() -> None:
    settings = SETTINGS.changed(horizon=60)
    split = split_after_vintages(SERIES, settings)
    earlier = replace(USUAL.held_out, learned_until=SERIES.sessions[split.train_end])
    found = assess(
        SERIES, replace(USUAL, held_out=earlier), None, settings, after(SERIES, 60), split
    )
    assert found.publisher == LSTM
    assert len(found.forecast.path) == len(found.forecast.band(80).high) == 60
    assert (np.diff(found.forecast.band(80).high) > 0).all()


def test_an_assessment_reads_back_as_written_and_equal_ones_give_equal_bytes(
    tmp_path: Path,
) -> None:
    found = assessed(GOOD, FAIR)
    for name in ("a", "b"):
        write_assessment(found, tmp_path / name)
    again = read_assessment(tmp_path / "a")
    arrays = ("test_origins", "unseen", "volatility", "paths")
    for name in vars(found).keys() - {*arrays}:
        assert getattr(again, name) == getattr(found, name)
    for name in arrays[:3]:
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    np.testing.assert_array_equal(again.paths[PUBLISHED], found.paths[PUBLISHED])
    assert sha256_of(str(tmp_path / "a")) == sha256_of(str(tmp_path / "b"))


@pytest.mark.parametrize(
    ("file", "damaged"),
    [
        ("assessment.json", lambda kept: b""),
        ("assessment.json", lambda kept: b'{"session": "2013-03-01"}'),
        ("paths.npz", lambda kept: kept[:-40]),
        ("paths.npz", lambda kept: kept.replace(b"\x3f", b"\x3e")),
    ],
)
def test_a_damaged_assessment_is_an_error_that_names_the_folder_and_the_way_back(
    file: str, damaged: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    write_assessment(assessed(USUAL), tmp_path)
    (tmp_path / file).write_bytes(damaged((tmp_path / file).read_bytes()))
    says = f"{tmp_path.name}: expected an assessment, found .*; run that night again"
    with pytest.raises(InvalidFile, match=says):
        read_assessment(tmp_path)


def test_an_assessment_is_of_the_networks_medians_and_widths() -> None:
    """The unseen origins are forecast by the network that has not seen them, tonight by the one
    that knows all."""
    newest = np.array([len(SERIES) - 1])
    earlier, [tonight] = (
        published_median(SERIES, at, LEADS)[..., None] + network.forecast(SERIES, at, LEADS)[1]
        for network, at in ((USUAL.held_out, UNSEEN), (USUAL.published, newest))
    )
    tested, found, close = earlier[-len(TEST) :], assessed(USUAL), SERIES.close
    np.testing.assert_array_equal(found.unseen, UNSEEN)
    np.testing.assert_array_equal(found.test_origins, TEST)
    np.testing.assert_allclose(found.volatility, annualised(earlier[:, 19], 20))
    forecast = found.forecast
    assert forecast.outlook == outlooks(earlier, tonight)
    assert forecast.touches == touches(SERIES, TEST, tested, tonight)
    assert forecast.probability_of_rise == chance_above(tonight[9], 0.0)
    actual = np.log(close[TEST[:, None] + LEADS] / close[TEST, None])
    for coverage, low, high in ((50, 5, 15), (80, 2, 18), (95, 0, 20)):
        band = forecast.band(coverage)
        np.testing.assert_allclose(
            [band.low, band.high], close[-1] * np.exp(tonight.T[[low, high]])
        )
        inside = (tested[..., low] <= actual) & (actual <= tested[..., high])
        assert found.band_scores.bands[str(coverage)].coverage == pytest.approx(inside.mean())
    paths = {PUBLISHED: close[TEST, None] * np.exp(tested[..., 10])}
    rises = {PUBLISHED: chance_above(tested[:, 9], 0.0)}
    expected = evaluate(close, TEST, paths, SETTINGS, rises, close=close).scores[PUBLISHED]
    own = found.evaluation.scores[PUBLISHED]
    assert own.mse == pytest.approx(expected.mse)
    assert own.direction.brier == pytest.approx(expected.direction.brier)


def test_a_model_that_learned_with_another_horizon_is_measured_at_tonights() -> None:
    shapes = ((1, 24), (6, 24), (24,), (6, 1), (1,))
    weights = tuple(np.full(shape, 0.1, np.float32) for shape in shapes)
    scale = TutorialScale.of(prepare(SERIES.mid, 1_000), SERIES.sessions)
    model = TutorialForecaster(settings_for("tutorial"), weights, scale, SERIES.sessions[999])
    found = quantiles_after(SERIES, TEST, len(LEADS), VintageSet(None, None, None), model)
    assert found.shape == (len(TEST), len(LEADS), 21)
    prices = SERIES.close[TEST, None] * np.exp(found[..., 10])
    np.testing.assert_allclose(prices[:3], model.paths(SERIES, TEST[:3], len(LEADS)), rtol=1e-5)


@pytest.mark.parametrize("t", [SPLIT.validation.start, int(TEST[40])])
def test_nothing_after_an_origin_affects_what_would_have_been_published(t: int) -> None:
    other, known = altered_after(SERIES, t), np.searchsorted(UNSEEN, t, side="right")
    for model in (USUAL, None):
        one, two = candidate(model).earlier, candidate(model, other).earlier
        np.testing.assert_array_equal(one[:known], two[:known])
        assert not np.array_equal(one, two)
