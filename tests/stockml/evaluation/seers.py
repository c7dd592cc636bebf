"""Models whose forecasts are as good, or as bad, as a test needs."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np

from stockml.evaluation.assessment import Assessment, assess
from stockml.evaluation.candidates import Candidate, ScoringData
from stockml.features.origins import every_nth
from stockml.models.regressions import RIDGE
from stockml.models.trained_model import TrainedModel
from stockml.models.tutorial_recipe import TutorialForecaster
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.training.ticker_training import split_after_vintages
from tests.support.models import trained_model
from tests.support.walks import SMALL, walk

SETTINGS = EvaluationSettings(
    horizon=20, direction_step=10, test_sessions=500, validation_sessions=200, origin_every=5
)
SERIES = walk(1_300, seed=4)
SPLIT = split_after_vintages(SERIES, SETTINGS)
TEST = every_nth(SPLIT.test, SETTINGS.origin_every)
LEADS = np.arange(1, 21)
AGE = 7  # sessions since the champion last learned


@dataclass(frozen=True)
class Model:
    held_out: object
    published: object


def wide(times: float) -> TrainedModel:
    """The pretrained network with `times` its width at every lead, as if it had been trained to
    that."""
    model = trained_model(SERIES, SMALL.changed(evaluation=SETTINGS), times)
    return replace(
        model, published=replace(model.published, learned_until=SERIES.sessions[-1 - AGE])
    )


@dataclass(frozen=True)
class Seer:
    """Foretells `share` of every move from the close that `true` holds, and after its end one
    percent a session.

    true: None to look it up in the bars that it is given.
    """

    share: float
    learned_until: np.datetime64
    true: PriceSeries | None

    forecasts_path, vintages, width_by, forecast = True, None, RIDGE, TutorialForecaster.forecast

    def paths(self, series: PriceSeries, at: np.ndarray, horizon: int) -> np.ndarray:
        start, true = series.close[at][:, None], self.true or series
        came = np.concatenate([true.mid, true.close[-1] * (1 + 0.01 * LEADS)])[
            np.asarray(at)[:, None] + LEADS
        ]
        return start + self.share * (came - start)


def seeing(share: float) -> Model:
    return Model(
        Seer(share, SERIES.sessions[0], SERIES), Seer(share, SERIES.sessions[-1 - AGE], SERIES)
    )


def after(series: PriceSeries, horizon: int = 20) -> list[date]:
    last: date = series.sessions[-1].item()
    return [last + timedelta(days=k) for k in range(1, horizon + 1)]


@cache
def assessed(model: Model, champion: Model | None = None, **known: Any) -> Assessment:
    return assess(SERIES, model, champion, SETTINGS, after(SERIES), SPLIT, **known)


USUAL, NARROW = wide(1.0), wide(0.5)


def candidate(model: Model | TrainedModel | None, of: PriceSeries = SERIES) -> Candidate:
    return Candidate.of(ScoringData.of(of, SPLIT, SETTINGS, USUAL), model)
