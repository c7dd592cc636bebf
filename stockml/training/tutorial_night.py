"""The tutorial's network as a ticker's model: what `nightly` trains, keeps and forecasts with under this profile."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stockml.errors import TooFewBars
from stockml.features.windows import split_origins
from stockml.models.retrain_policy import Decision
from stockml.models.trained_model import NETWORKS, TrainedModel
from stockml.models.tutorial.forecaster import TutorialForecaster, TutorialScale
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
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
    newest eleventh to decay on. `start`: the model to fine-tune. Raises TooFewBars, Diverged.
    """
    split = split_origins(len(series), settings.evaluation)
    horizon = settings.evaluation.horizon
    missing = VALIDATION_SHARE * horizon - (split.train_end + horizon)
    if missing > 0:
        raise TooFewBars(len(series) + 2 * missing, len(series), "the tutorial's recipe")
    ends = {"held_out": split.train_end + horizon, "published": len(series)}
    fits = {name: _fit(series, ends[name], settings, name, start, folder, on_epoch) for name in NETWORKS}
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
        history=tuple(_row(row) for name in NETWORKS for row in fits[name].history),
        **networks,
    )


def _fit(
    series: PriceSeries,
    train_end: int,
    settings: Settings,
    name: str,
    start: TrainedModel | None,
    folder: Path,
    on_epoch: Callable[[EpochProgress], None] | None,
) -> TutorialFit:
    """On sessions before `train_end` only: the test part of a night is not even looked at."""
    training = settings.training.changed(decay_on="validation")
    weights = None
    if start is not None:
        weights = getattr(start, name).weights
        training = training.changed(epochs=training.fine_tune_epochs, learning_rate=training.fine_tune_learning_rate)
    recipe = Recipe.of(series.mid[:train_end], train_end, settings.changed(training=training))
    return fit(recipe, folder=folder / f"_{name}", name=name, start=weights, on_epoch=on_epoch)


def _forecaster(series: PriceSeries, fitted: TutorialFit) -> TutorialForecaster:
    recipe = fitted.recipe
    return TutorialForecaster(
        look_back=recipe.settings.network.look_back,
        horizon=recipe.settings.evaluation.horizon,
        weights=fitted.weights,
        scale=TutorialScale.of(recipe.prepared),
        learned_until=series.sessions[recipe.prepared.train_end - 1],
    )


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """The history row of a night: its test part was not looked at."""
    return {name: value for name, value in row.items() if name != "test_loss"}
