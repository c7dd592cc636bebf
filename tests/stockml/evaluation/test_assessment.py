"""What is published, from which model, and against what it is measured: too narrow networks,
foretelling paths."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from stockml.errors import InvalidFile, InvalidSetting
from stockml.evaluation.assessment import assess, read_assessment, write_assessment
from stockml.evaluation.candidates import ScoringData
from stockml.evaluation.path_scores import CHAMPION, LSTM, PUBLISHED, evaluate
from stockml.models.baselines import published_median
from stockml.models.retrain_policy import Decision
from stockml.models.ridge_regression import RIDGE
from stockml.models.ticker_network import FINE_TUNED
from stockml.models.vintage_set import VintageSet
from stockml.prices.series import PriceSeries
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
from tests.support.walks import SMALL, begins_tenfold, constant, hole_of_a_year, with_prices

BEFORE_ANY_VINTAGE = np.timedelta64(10_000, "D")


GOOD, FAIR, BAD = seeing(0.3), seeing(0.1), seeing(-0.6)


@pytest.mark.parametrize(
    ("challenger", "champion", "promoted", "publisher"),
    [
        (USUAL, None, True, LSTM),
        (wide(1.02), None, True, LSTM),
        (NARROW, None, False, RIDGE),
        (NARROW, USUAL, False, CHAMPION),
        (wide(6.0), USUAL, False, CHAMPION),
        (USUAL, NARROW, True, LSTM),
        (GOOD, None, True, LSTM),
        (GOOD, FAIR, True, LSTM),
        (FAIR, GOOD, False, CHAMPION),
        (BAD, GOOD, False, CHAMPION),
        (BAD, None, False, RIDGE),
    ],
)
def test_the_better_model_is_published_or_none_if_it_is_worse_than_without_a_network(
    challenger: Model, champion: Model | None, promoted: bool, publisher: str
) -> None:
    found = assessed(challenger, champion)
    assert (found.verdict.promoted, found.publisher) == (promoted, publisher)
    author = candidate({LSTM: challenger, CHAMPION: champion}.get(publisher))
    of_mids = author.own_path is not None
    assert found.forecast.price == ("mid" if of_mids else "close")
    assert found.forecast.last_value == (SERIES.mid if of_mids else SERIES.close)[-1]
    assert found.forecast.last_close == SERIES.close[-1]
    assert found.forecast.path == tuple((SERIES.close[-1] * np.exp(author.tonight[0]))[:, 10])
    width_by = RIDGE if of_mids or publisher == RIDGE else FINE_TUNED
    assert (found.forecast.width_by, set(found.forecast.weights)) == (
        width_by,
        {float(width_by != RIDGE)},
    )
    assert found.paths[PUBLISHED] == pytest.approx(author.paths(SERIES.close[TEST]))
    numbers = found.verdict.numbers
    adds = found.distributions.over_simple[CHAMPION if publisher == CHAMPION else LSTM]
    assert numbers["network_adds_crps"] == adds.skill


def test_a_pretrained_network_that_has_seen_a_session_it_would_be_scored_on_is_refused() -> None:
    vintages, first = USUAL.held_out.vintages, SERIES.sessions[SPLIT.validation.start].item()

    def scored_with_a_network_through(day: date) -> None:
        held_out = replace(
            USUAL.held_out,
            vintages=replace(vintages, pretrained=replace(vintages.pretrained, through=day)),
        )
        ScoringData.of(SERIES, SPLIT, SETTINGS, replace(USUAL, held_out=held_out))

    scored_with_a_network_through(first - timedelta(days=1))
    with pytest.raises(
        InvalidSetting, match=f"expected the last session of the vintages .* found '{first}'"
    ):
        scored_with_a_network_through(first)


def test_a_path_that_is_worse_by_any_amount_is_not_published_even_if_promoted() -> None:
    found = assessed(seeing(-0.002))
    worse = found.distributions.over_simple[LSTM]
    assert worse.skill < 0
    assert worse.test is not None
    assert worse.test.p_value >= 0.05
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


def test_a_champion_that_learned_from_the_unseen_parts_is_reported_and_not_scored_on_them() -> None:
    late = SERIES.sessions[SPLIT.validation.start]
    found = assessed(USUAL, Model(replace(USUAL.held_out, learned_until=late), USUAL.published))  # type: ignore[type-var]
    assert CHAMPION not in found.distributions.scores
    assert found.verdict.promoted
    assert found.verdict.reason.startswith(
        f"the champion has no score (it has seen sessions through {late},"
    )


def test_an_unreadable_champion_is_reported_and_its_successor_is_not_called_the_first() -> None:
    found = assess(
        SERIES,
        USUAL,
        None,
        SETTINGS,
        after(SERIES),
        SPLIT,
        unreadable="model/0f: an earlier version's",
    )
    assert found.verdict.promoted
    assert found.verdict.reason == (
        "the champion has no score (model/0f: an earlier version's): replaced without a comparison"
    )


def test_a_kept_model_is_scored_once_and_published() -> None:
    found = assessed(USUAL, USUAL, kept=True)
    assert (found.publisher, found.verdict.promoted, found.kept) == (LSTM, False, True)
    assert CHAMPION not in found.distributions.scores
    assert found.verdict.reason.endswith("the champion stays")


def test_before_any_vintage_the_simple_forecast_is_published_with_the_reason() -> None:
    early = replace(SERIES, sessions=SERIES.sessions - BEFORE_ANY_VINTAGE)
    model = train_ticker(
        early, SMALL.changed(evaluation=SETTINGS), Decision("retrain", "first"), start=None
    )
    found = assess(
        early, model, None, SETTINGS, after(early), split_after_vintages(early, SETTINGS)
    )
    assert (found.publisher, found.forecast.without_network) == (RIDGE, True)
    (reason,) = found.distributions.reasons.values()
    assert "the oldest has seen sessions through 1999-06-30" in reason
    assert not {"crps_skill", "network_adds_crps"} & found.verdict.numbers.keys(), (
        "none has gained nothing"
    )
    assert np.isfinite(found.forecast.path).all()


def test_with_a_pretrained_network_for_tonight_only_the_network_is_unscored_and_not_published() -> (
    None
):
    around = replace(SERIES, sessions=SERIES.sessions - np.timedelta64(1_400, "D"))
    model = train_ticker(
        around, SMALL.changed(evaluation=SETTINGS), Decision("retrain", "first"), start=None
    )
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
    model = train_ticker(
        series, SMALL.changed(evaluation=SETTINGS), Decision("retrain", "first"), start=None
    )
    found = assess(
        series, model, None, SETTINGS, after(series), split_after_vintages(series, SETTINGS)
    )
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
    simple = {
        PUBLISHED: found.paths[PUBLISHED]
        / np.where(found.test_origins < TEST[12], 100.0, 1.0)[:, None]
    }
    same = evaluate(SERIES.close, found.test_origins, simple, SETTINGS, {}, close=SERIES.close)
    for name, expected in same.scores.items():
        score = found.evaluation.scores[name]
        figures = [
            (each.mse, each.mase, each.rmse, each.mae, each.skill) for each in (score, expected)
        ]
        assert figures[0] == pytest.approx(figures[1]), name


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
    for name in (
        "session",
        "evaluation",
        "forecast",
        "verdict",
        "distributions",
        "publisher",
        "kept",
    ):
        assert getattr(again, name) == getattr(found, name)
    for name in ("test_origins", "unseen", "volatility"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    np.testing.assert_array_equal(again.paths[PUBLISHED], found.paths[PUBLISHED])
    assert sha256_of(str(tmp_path / "a")) == sha256_of(str(tmp_path / "b"))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"session": "2013-03-01"}'])
def test_content_that_is_not_an_assessment_is_an_error_that_names_the_folder(
    content: str, tmp_path: Path
) -> None:
    write_assessment(assessed(USUAL), tmp_path)
    (tmp_path / "assessment.json").write_text(content)
    with pytest.raises(InvalidFile, match=f"{tmp_path.name}: expected an assessment"):
        read_assessment(tmp_path)


@pytest.mark.parametrize(
    "damaged",
    [lambda kept: b"", lambda kept: kept[:-40], lambda kept: kept.replace(b"\x3f", b"\x3e")],
)
def test_damaged_paths_are_an_error_that_names_the_folder_and_the_way_back(
    damaged: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    write_assessment(assessed(USUAL), tmp_path)
    (tmp_path / "paths.npz").write_bytes(damaged((tmp_path / "paths.npz").read_bytes()))
    with pytest.raises(
        InvalidFile,
        match=f"{tmp_path.name}: expected an assessment, found .*; run that night again",
    ):
        read_assessment(tmp_path)
