"""Whose path is published, and beside whom it was measured: stand-ins that follow a share of the drift, real prices."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from deployments.replay.recording import recorded_bars
from stockml.errors import InvalidFile
from stockml.evaluation.assessment import Assessment, assess, read_assessment, write_assessment
from stockml.evaluation.evaluate import evaluate
from stockml.features.windows import origins, split_origins
from stockml.forecasts.conformal import ConformalIntervals, score_bands
from stockml.forecasts.ledger import Ledger
from stockml.forecasts.shrinkage import OutOfSampleMoments, combined
from stockml.home import Home
from stockml.models.baselines import BASELINES
from stockml.models.registry import Promotion, Registry
from stockml.pipeline.publish import publish
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.storage.files import sha256_of
from stockml.storage.receipts import EvaluationReceipt, RunReceipt

SETTINGS = EvaluationSettings()
NIGHT = date(2013, 3, 1)
EARLY = np.datetime64("2005-01-03")


@dataclass(frozen=True)
class ShareOfDrift:
    """Follows `share` of the drift from the last value; negative shares go the wrong way."""

    share: float
    learned_until: np.datetime64 = EARLY

    def paths(self, series: PriceSeries, origins: np.ndarray) -> np.ndarray:
        start = series.mid[origins][:, None]
        return start + self.share * (BASELINES["drift"].path(series.mid, origins, SETTINGS.horizon) - start)


@dataclass(frozen=True)
class StandIn:
    held_out: ShareOfDrift
    published: ShareOfDrift

    @classmethod
    def following(cls, share: float, **changes: object) -> "StandIn":
        return cls(ShareOfDrift(share, **changes), ShareOfDrift(share))


@dataclass(frozen=True)
class Seer:
    """Foretells `share` of every move that the series knows of; after its end, one percent a session."""

    share: float
    learned_until: np.datetime64 = EARLY

    def paths(self, series: PriceSeries, origins: np.ndarray) -> np.ndarray:
        leads = np.arange(1, SETTINGS.horizon + 1)
        beyond = series.mid[-1] * (1 + 0.01 * leads)
        start = series.mid[origins][:, None]
        came = np.concatenate([series.mid, beyond])[origins[:, None] + leads]
        return start + self.share * (came - start)


@cache
def series() -> PriceSeries:
    return PriceSeries.from_bars(recorded_bars("IBM"))


def assessed(model: StandIn, champion: StandIn | None = None, *, kept: bool = False) -> Assessment:
    upcoming = sessions_for("IBM").after(NIGHT, SETTINGS.horizon)
    return assess(series(), model, champion, SETTINGS, upcoming, kept=kept)


@pytest.mark.parametrize(
    ("challenger", "champion", "promoted", "publisher"),
    [
        (0.8, None, True, "LSTM"),
        (0.8, 0.2, True, "LSTM"),
        (0.2, 0.8, False, "champion"),
        (-60.0, 0.5, False, "champion"),
        (-60.0, None, False, "last value"),
    ],
)
def test_the_better_model_publishes_and_nobody_where_none_has_shown_skill(
    challenger: float, champion: float | None, promoted: bool, publisher: str
) -> None:
    rival = None if champion is None else StandIn.following(champion)
    found = assessed(StandIn.following(challenger), rival)
    assert (found.verdict.promoted, found.publisher) == (promoted, publisher)
    shares = {"LSTM": challenger, "champion": champion or 0.0, "last value": 0.0}
    assert (found.forecast.weights, found.published.validated_skill) == shown(shares[publisher])
    assert (found.model.weights, found.model.validated_skill) == shown(challenger)
    numbers = found.verdict.numbers
    weights, skill = shown(shares[publisher])
    assert (numbers["weight_of_first_lead"], numbers["weight_of_last_lead"]) == (weights[0], weights[-1])
    assert numbers["validated_skill"] == skill


def unseen(until: int | None = None) -> np.ndarray:
    """The origins of the validation and test parts whose outcomes were known after session `until`."""
    split = split_origins(len(series()), SETTINGS)
    at = np.concatenate([origins(part, 1) for part in (split.validation, split.test)])
    return at if until is None else at[at + SETTINGS.horizon <= until]


def shown(share: float, until: int | None = None) -> tuple[tuple[float, ...], float | None]:
    """Weights and skill of a path that follows this share of the drift, on all that was known after `until`."""
    at = unseen(until)
    found = OutOfSampleMoments.of(series().mid, at, ShareOfDrift(share).paths(series(), at), SETTINGS)
    return tuple(found.weights(np.array([len(series())]))[0].tolist()), found.skill()


@pytest.mark.parametrize(("share", "weight"), [(0.5, 1.0), (1.6, 0.25), (1.8, 1 / 9)])
def test_what_is_published_is_scored_as_it_is_published(share: float, weight: float) -> None:
    seer = StandIn(Seer(share), Seer(share))
    found = assessed(seer)
    mid, test = series().mid, found.test_origins
    weights = np.full(SETTINGS.horizon, weight)
    assert found.forecast.weights == pytest.approx(weights)
    paths = combined(mid[test], Seer(share).paths(series(), test), weights)
    expected = evaluate(mid, test, {"published": paths}, SETTINGS).scores["published"]
    assert found.evaluation.scores["published"].mse == pytest.approx(expected.mse)
    moved = np.array(found.forecast.path) / found.forecast.last_value - 1
    assert moved == pytest.approx(0.01 * share * weight * np.arange(1, SETTINGS.horizon + 1))


def test_each_origin_is_scored_with_the_weight_that_was_known_then() -> None:
    found = assessed(StandIn.following(0.5))
    mid, test = series().mid, found.test_origins
    weights = np.array([shown(0.5, until=origin)[0] for origin in test])
    assert weights[:, -1].max() > 0 == weights[-1, -1]
    paths = combined(mid[test], ShareOfDrift(0.5).paths(series(), test), weights)
    expected = evaluate(mid, test, {"published": paths}, SETTINGS).scores["published"]
    assert found.evaluation.scores["published"].mse == pytest.approx(expected.mse)


def test_a_promoted_model_that_has_not_been_right_publishes_the_last_value_and_says_so() -> None:
    found = assessed(StandIn.following(1.0))
    assert (shown(1.0)[1] or 0) < 0
    assert (found.verdict.promoted, found.publisher, any(found.forecast.weights)) == (True, "LSTM", False)
    assert set(found.forecast.path) == {found.forecast.last_value}
    assert found.forecast.no_skill


def test_the_bands_that_are_scored_know_nothing_of_the_test_part() -> None:
    """A test part that turns the weight of tonight about leaves the bands of its first origins as they were."""
    found = assessed(StandIn.following(0.5))
    split = split_origins(len(series()), SETTINGS)
    at = origins(split.validation, SETTINGS.origin_every)
    weights = np.array(shown(0.5, until=split.test.start)[0])
    known = combined(series().mid[at], ShareOfDrift(0.5).paths(series(), at), weights)
    bands = ConformalIntervals.fit(series().mid, at, known)
    weights = np.array([shown(0.5, until=origin)[0] for origin in found.test_origins])
    own = ShareOfDrift(0.5).paths(series(), found.test_origins)
    paths = combined(series().mid[found.test_origins], own, weights)
    assert found.band_scores == score_bands(bands, series().mid, found.test_origins, paths)


def test_without_skill_the_path_is_the_last_value_with_its_bands() -> None:
    forecast = assessed(StandIn.following(-60.0)).forecast
    assert set(forecast.path) == {forecast.last_value}
    assert forecast.no_skill
    assert forecast.band(80).low[-1] < forecast.last_value < forecast.band(80).high[-1]
    assert forecast.band(80).high[0] < forecast.band(80).high[-1]


def test_a_champion_that_learned_from_tonights_test_part_is_not_scored_on_it() -> None:
    late = StandIn.following(0.9, learned_until=np.datetime64("2012-01-03"))
    assert "champion" not in assessed(StandIn.following(0.2), late).evaluation.scores


def test_a_night_without_training_scores_the_champion_once_and_publishes_it() -> None:
    same = StandIn.following(0.5)
    found = assessed(same, same, kept=True)
    assert (found.publisher, found.verdict.promoted) == ("LSTM", False)
    assert "champion" not in found.evaluation.scores


def test_what_is_written_is_read_again_and_equal_assessments_give_equal_bytes(tmp_path: Path) -> None:
    found = assessed(StandIn.following(0.8), StandIn.following(0.2))
    for name in ("a", "b"):
        write_assessment(found, tmp_path / name)
    again = read_assessment(tmp_path / "a")
    assert (again.evaluation, again.forecast) == (found.evaluation, found.forecast)
    assert (again.published, again.model) == (found.published, found.model)
    assert sha256_of(str(tmp_path / "a")) == sha256_of(str(tmp_path / "b"))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"session": "2013-03-01"}'])
def test_what_is_not_an_assessment_is_an_error_that_names_the_folder(content: str, tmp_path: Path) -> None:
    write_assessment(assessed(StandIn.following(0.6), None), tmp_path)
    (tmp_path / "assessment.json").write_text(content)
    with pytest.raises(InvalidFile, match=f"{tmp_path.name}: expected an assessment"):
        read_assessment(tmp_path)


@pytest.mark.parametrize(("challenger", "champion", "version"), [(0.8, 0.2, "2"), (0.2, 0.8, "1"), (-60.0, None, None)])
def test_the_ledger_names_the_version_whose_path_was_published(
    home: Home, challenger: float, champion: float | None, version: str | None
) -> None:
    rival = None if champion is None else StandIn.following(champion)
    folder = home.evaluations / "IBM" / "tonight"
    write_assessment(assessed(StandIn.following(challenger), rival), folder)
    now = datetime(2013, 3, 2, 4, tzinfo=UTC)
    if rival:
        made = {"key": "0" * 64, "path": str(home.models / "IBM" / "old"), "sha256": "1", "version": "1"}
        old = Promotion("IBM", "promote", session=date(2013, 2, 28), reason="the first", at=now, **made)
        Registry(home.models).promote(old)
    evaluation = EvaluationReceipt("IBM", str(folder), sha256_of(str(folder)) or "", NIGHT)
    run = RunReceipt("IBM", "", "", "f" * 64, "run", "2")
    assert publish(home, evaluation, run, now=now).added == 1
    assert publish(home, evaluation, run, now=now).added == 0
    assert [entry.model_version for entry in Ledger(home.ledger).entries("IBM")] == [version]
