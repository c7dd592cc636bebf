"""What is published, from which model, and against what it is measured: too narrow networks,
foretelling paths."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from stockml.errors import InvalidFile, InvalidSetting
from stockml.evaluation.assessment import assess, read_assessment, write_assessment
from stockml.evaluation.outlook_scores import touches
from stockml.evaluation.path_scores import (
    CHAMPION,
    LAST_CLOSE,
    LSTM,
    PUBLISHED,
    WITHOUT_NETWORK,
    evaluate,
)
from stockml.features.origins import every_nth
from stockml.forecasts.outlook import annualised, chance_above, outlooks
from stockml.forecasts.proper_scores import band, score_bands
from stockml.models.regressions import RIDGE, published_median
from stockml.models.trained_model import FINE_TUNED, Decision
from stockml.models.vintage_set import VintageSet
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

NEWEST = np.array([len(SERIES) - 1])
UNSEEN = np.concatenate([every_nth(part, 5) for part in (SPLIT.validation, SPLIT.test)])


GOOD, FAIR, BAD = seeing(0.3), seeing(0.1), seeing(-0.6)


def first_night(series):
    settings, split = SMALL.changed(evaluation=SETTINGS), split_after_vintages(series, SETTINGS)
    model = train_ticker(series, settings, Decision("retrain", "first"), start=None)
    return assess(series, model, None, SETTINGS, after(series), split)


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
    challenger, champion, promoted, publisher
):
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
    assert found.distributions.network_adds == adds


def test_the_numbers_of_a_verdict_are_those_of_the_evaluation_and_the_distributions():
    found = assessed(GOOD, FAIR)
    scores, table = found.evaluation.scores, found.distributions.figures()
    adds = found.evaluation.comparison(PUBLISHED, WITHOUT_NETWORK)
    assert found.verdict.numbers == {
        "origins": len(TEST),
        "challenger_mse": scores[LSTM].mse,
        "challenger_skill": scores[LSTM].skill,
        "champion_mse": scores[CHAMPION].mse,
        "champion_skill": scores[CHAMPION].skill,
        "published_skill": scores[PUBLISHED].skill,
        "last_close_mse": scores[LAST_CLOSE].mse,
        "network_adds": adds.skill_difference,
        "network_adds_p_value": adds.p_value,
        **{name: figure for name, figure in table.items() if figure is not None},
    }
    assert None in table.values()


def test_a_network_that_has_seen_a_session_it_would_be_scored_on_is_refused():
    held_out, first = USUAL.held_out, SERIES.sessions[SPLIT.validation.start]
    pretrained = replace(held_out.vintages.pretrained, through=first.item())
    for seen, what in (
        ({"learned_until": first}, "held-out network"),
        ({"vintages": replace(held_out.vintages, pretrained=pretrained)}, "the vintages"),
    ):
        says = f"{what} to be before the origin {first}, found '{first}'"
        with pytest.raises(InvalidSetting, match=says):
            assessed(replace(USUAL, held_out=replace(held_out, **seen)))


def test_a_path_that_is_worse_by_any_amount_gives_way_to_the_usual_rise_even_if_promoted():
    found = assessed(seeing(-0.002))
    worse = found.distributions.over_simple[LSTM]
    assert worse.skill < 0
    assert worse.p_value >= 0.05
    assert (found.verdict.promoted, found.publisher) == (True, RIDGE)
    assert found.forecast.without_network
    rise = published_median(SERIES, NEWEST, LEADS)[0]
    np.testing.assert_allclose(found.forecast.path, SERIES.close[-1] * np.exp(rise))


def test_a_champion_gives_way_to_an_equally_good_model_after_the_configured_sessions():
    for limit, promoted in ((AGE, True), (AGE + 1, False)):
        settings = SETTINGS.changed(replace_after_sessions=limit)
        found = assess(SERIES, wide(1.0001), USUAL, settings, after(SERIES), SPLIT)
        assert found.verdict.promoted is promoted
        assert f"{AGE} sessions" in found.verdict.reason


def test_a_champion_that_has_no_score_is_replaced_and_why_is_said():
    late = SERIES.sessions[SPLIT.validation.start]
    seen = replace(USUAL, held_out=replace(USUAL.held_out, learned_until=late))
    for champion, unreadable, said in (
        (seen, None, f"it has seen sessions through {late},"),
        (None, "an earlier version's", "an earlier version's"),
    ):
        found = assessed(USUAL, champion, unreadable=unreadable)
        assert CHAMPION not in found.distributions.scores
        assert found.verdict.promoted
        assert found.verdict.reason.startswith(f"the champion has no score ({said}")


def test_a_kept_model_is_scored_once_and_published():
    found = assessed(USUAL, USUAL, kept=True)
    assert (found.publisher, found.verdict.promoted, found.kept) == (LSTM, False, True)
    assert CHAMPION not in found.distributions.scores
    assert found.verdict.reason.endswith("the champion stays")


def test_before_any_vintage_the_simple_forecast_is_published_with_the_reason():
    found = first_night(replace(SERIES, sessions=SERIES.sessions - np.timedelta64(10_000, "D")))
    assert (found.publisher, found.forecast.without_network) == (RIDGE, True)
    (reason,) = found.distributions.reasons.values()
    assert "the oldest has seen sessions through 1999-06-30" in reason
    assert not {"crps_skill", "network_adds_crps"} & found.verdict.numbers.keys()
    assert np.isfinite(found.forecast.path).all()


def test_with_a_pretrained_network_for_tonight_only_the_network_is_unscored_and_not_published():
    nothing = VintageSet.ending_before(date(1990, 1, 1))
    unscored = replace(USUAL.held_out, vintages=nothing, fine_tuned=None, used=False)
    found = assessed(replace(USUAL, held_out=unscored))
    assert (found.publisher, found.forecast.without_network) == (RIDGE, True)
    assert found.distributions.network_adds is None


@pytest.mark.slow
@pytest.mark.parametrize("series", [constant(), begins_tenfold(), hole_of_a_year()])
def test_whatever_the_prices_bands_are_finite_and_in_order_and_the_assessment_is_saved(
    series, tmp_path
):
    found = first_night(series)
    bands = found.forecast.bands
    lows, highs = ([getattr(band, end) for band in bands] for end in ("low", "high"))
    limits = np.array([*lows[::-1], found.forecast.path, *highs])
    assert np.isfinite(limits).all()
    assert (np.diff(limits, axis=0) >= 0).all()
    write_assessment(found, tmp_path)
    assert read_assessment(tmp_path).distributions == found.distributions


def test_a_change_of_units_changes_no_figure_of_the_paths():
    """Pence until two months into the test part, then pounds: averages, drift and scale span the
    change."""
    in_pence_first = with_prices(SERIES, np.where(np.arange(len(SERIES)) < TEST[12], 100.0, 1.0))
    found = assess(in_pence_first, USUAL, None, SETTINGS, after(SERIES), SPLIT)
    assert 0 < len(found.test_origins) < len(TEST)
    units = np.where(found.test_origins < TEST[12], 100.0, 1.0)
    published = {PUBLISHED: found.paths[PUBLISHED] / units[:, None]}
    same = evaluate(SERIES.close, found.test_origins, published, SETTINGS, {}, close=SERIES.close)
    figures = found.evaluation.metrics()
    for name, expected in same.metrics().items():
        assert {each: figures[name][each] for each in expected} == pytest.approx(expected), name


def test_an_assessment_reads_back_as_written_and_equal_ones_give_equal_bytes(tmp_path):
    found = assessed(GOOD, FAIR)
    write_assessment(found, tmp_path / "a")
    again = read_assessment(tmp_path / "a")
    np.testing.assert_equal(vars(again), vars(found))
    write_assessment(again, tmp_path / "b")
    assert sha256_of(str(tmp_path / "a")) == sha256_of(str(tmp_path / "b"))


def test_a_damaged_assessment_is_an_error_that_names_the_folder_and_the_way_back(tmp_path):
    says = f"{tmp_path.name}: expected an assessment, found .*; run that night again"
    for name, damaged in (
        ("assessment.json", lambda kept: b'{"session": "2013-03-01"}'),
        ("paths.npz", lambda kept: kept[:-40]),
        ("paths.npz", lambda kept: kept.replace(b"\x3f", b"\x3e")),
    ):
        write_assessment(assessed(USUAL), tmp_path)
        (tmp_path / name).write_bytes(damaged((tmp_path / name).read_bytes()))
        with pytest.raises(InvalidFile, match=says):
            read_assessment(tmp_path)


def test_an_assessment_is_of_the_networks_medians_and_widths():
    """The unseen origins are forecast by the network that has not seen them, tonight by the one
    that knows all."""
    earlier, [tonight] = (
        published_median(SERIES, at, LEADS)[..., None] + network.forecast(SERIES, at, LEADS)[1]
        for network, at in ((USUAL.held_out, UNSEEN), (USUAL.published, NEWEST))
    )
    tested, found, close = earlier[-len(TEST) :], assessed(USUAL), SERIES.close
    np.testing.assert_array_equal(found.unseen, UNSEEN)
    np.testing.assert_array_equal(found.test_origins, TEST)
    np.testing.assert_allclose(found.volatility, annualised(earlier[:, 19], 20))
    forecast = found.forecast
    assert forecast.outlook == outlooks(earlier, tonight)
    assert forecast.touches == touches(SERIES, TEST, tested, tonight)
    assert forecast.probability_of_rise == chance_above(tonight[9], 0.0)
    actual, prices = close[TEST[:, None] + LEADS], close[TEST, None, None] * np.exp(tested)
    assert found.band_scores == score_bands(prices, actual)
    for each in forecast.bands:
        ends = np.exp(band(tonight, each.coverage / 100))
        np.testing.assert_allclose([each.low, each.high], close[-1] * ends)
    paths = {PUBLISHED: prices[..., 10]}
    rises = {PUBLISHED: chance_above(tested[:, 9], 0.0)}
    expected = evaluate(close, TEST, paths, SETTINGS, rises, close=close).metrics()[PUBLISHED]
    assert found.evaluation.metrics()[PUBLISHED] == pytest.approx(expected)


@pytest.mark.parametrize("t", [SPLIT.validation.start, int(TEST[40])])
def test_nothing_after_an_origin_affects_what_would_have_been_published(t):
    other, known = altered_after(SERIES, t), np.searchsorted(UNSEEN, t, side="right")
    for model in (USUAL, None):
        one, two = candidate(model).earlier, candidate(model, other).earlier
        np.testing.assert_array_equal(one[:known], two[:known])
        assert not np.array_equal(one, two)
