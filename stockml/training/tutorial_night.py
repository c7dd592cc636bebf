"""The tutorial's network as a ticker's model: what `nightly` trains, keeps and forecasts with under this profile."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stockml.errors import TooFewBars
from stockml.features.windows import origins, split_origins
from stockml.models.retrain_policy import Decision
from stockml.models.trained_model import NETWORKS, TrainedModel
from stockml.models.tutorial.recipe import TutorialForecaster, TutorialScale
from stockml.prices.series import PriceSeries
from stockml.settings import Settings, night_settings
from stockml.training.checkpoint import EpochProgress
from stockml.training.tutorial import VALIDATION_SHARE, Recipe, TutorialFit, fit


def train_tutorial(
    series: PriceSeries,
    settings: Settings,
    decision: Decision,
    *,
    start: TrainedModel | None,
    folder: Path,
    on_epoch: Callable[[EpochProgress], None] | None = None,
) -> TrainedModel:
    """Both networks of a night by the tutorial's recipe; interrupted, it goes on from its last epoch.

    `held_out` learns from the sessions before the validation and test parts, `published` from all; each keeps its own
    newest eleventh to decay on. `start`: the model to fine-tune. What `held_out` says of the test part after each epoch
    is kept to look at. Raises TooFewBars, Diverged, InvalidSetting.
    """
    split = split_origins(len(series), night_settings(settings).evaluation)
    horizon = settings.evaluation.horizon
    missing = VALIDATION_SHARE * horizon - (split.train_end + horizon)
    if missing > 0:
        raise TooFewBars(len(series) + 2 * missing, len(series), "the tutorial's recipe")
    training = settings.training
    if start is not None:
        training = training.changed(epochs=training.fine_tune_epochs, learning_rate=training.fine_tune_learning_rate)
    fits = {}
    for name, end, watched in (
        ("held_out", split.train_end + horizon, origins(split.test, horizon)),
        ("published", len(series), np.empty(0, np.int64)),
    ):
        recipe = Recipe.of(series.mid, end, settings.changed(training=training), test=watched + 1)
        weights = None if start is None else getattr(start, name).weights
        fits[name] = fit(recipe, folder=folder / f"_{name}", name=name, start=weights, on_epoch=on_epoch)
    for name in NETWORKS:
        shutil.rmtree(folder / f"_{name}")  # the checkpoint, and what a killed attempt left half written
    networks: dict[str, Any] = {name: _forecaster(series, fits[name]) for name in NETWORKS}
    return TrainedModel(
        settings=settings,
        decision=decision,
        parts=split,
        sessions=len(series),
        last_session=series.sessions[-1],
        retrained_at=series.sessions[-1] if start is None else start.retrained_at,
        history=tuple(row for name in NETWORKS for row in _rows(fits[name])),
        **networks,
    )


def _forecaster(series: PriceSeries, fitted: TutorialFit) -> TutorialForecaster:
    prepared = fitted.recipe.prepared
    scale = TutorialScale.of(prepared, series.sessions)
    return TutorialForecaster(fitted.recipe.settings, fitted.weights, scale, series.sessions[prepared.train_end - 1])


def _rows(fitted: TutorialFit) -> list[dict[str, Any]]:
    """A night's history: the network's own figures, and its paths in price after each watched origin, if any."""
    recipe = fitted.recipe
    rows = [{name: value for name, value in row.items() if name != "seconds_left"} for row in fitted.history]
    if not len(recipe.test):
        return rows
    paths = [recipe.prepared.prices(recipe.test - 1, each) for each in fitted.test_predictions]
    return [row | {"watched": np.round(each, 4).tolist()} for row, each in zip(rows, paths, strict=True)]
