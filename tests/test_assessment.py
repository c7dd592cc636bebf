"""Whose path is published, and beside whom it was measured: stand-ins that follow a share of the drift, real prices."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from deployments.recording import recorded_bars
from stockml.assessment import Assessment, assess, read_assessment, write_assessment
from stockml.baselines import BASELINES
from stockml.config import EvaluationSettings
from stockml.home import Home
from stockml.ledger import Ledger
from stockml.normalise import PriceSeries
from stockml.publishing import publish
from stockml.receipts import EvaluationReceipt, RunReceipt, sha256_of
from stockml.registry import Promotion, Registry
from stockml.sessions import sessions_for

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
    shrinkage: float

    @classmethod
    def following(cls, share: float, shrinkage: float = 0.5, **changes: object) -> "StandIn":
        return cls(ShareOfDrift(share, **changes), ShareOfDrift(share), shrinkage)


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
    rival = None if champion is None else StandIn.following(champion, shrinkage=0.7)
    found = assessed(StandIn.following(challenger, shrinkage=0.4), rival)
    assert (found.verdict.promoted, found.publisher) == (promoted, publisher)
    assert found.forecast.weight == {"LSTM": 0.4, "champion": 0.7, "last value": 0.0}[publisher]


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
    assert (again.evaluation, again.forecast, again.bands) == (found.evaluation, found.forecast, found.bands)
    assert sha256_of(str(tmp_path / "a")) == sha256_of(str(tmp_path / "b"))


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
