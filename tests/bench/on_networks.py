"""Figures of training and prediction, in a process that has loaded TensorFlow."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stockml.models.retrain_policy import Decision
from stockml.models.tensorflow import tensorflow
from stockml.models.trained_model import TrainedModel, load_model
from stockml.models.tutorial.network import StreamNetwork
from stockml.models.tutorial.recipe import train_length
from stockml.prices.bars import mid_prices
from stockml.prices.series import PriceSeries
from stockml.settings import Settings, settings_for
from stockml.training.train import train
from stockml.training.tutorial import Recipe, epoch_of
from tests.bench.material import CSV_ROWS, long_bars
from tests.bench.measuring import Measured, Scene, timed

SESSIONS = 10_000
ORIGINS = 1_000
STEPS, FEW_STEPS = 4, 2
COMPILED = "TensorFlow loaded; the first run compiles"


def tutorial_step(scene: Scene) -> Iterator[Measured]:
    """Optimiser steps of the published recipe at its published size, a few at a time."""
    steps = FEW_STEPS if scene.fast else STEPS
    bars, what = long_bars(CSV_ROWS)
    settings = settings_for("tutorial")
    recipe = Recipe.of(mid_prices(bars), train_length(len(bars)), settings)
    network = StreamNetwork(settings, recipe.width)
    x, y, _ = epoch_of(recipe.streams(), steps, np.random.default_rng(1))

    def action(run: int) -> None:
        network.fit_epoch(x, y, settings.training.learning_rate)

    yield timed(
        "tutorial step",
        action,
        runs=scene.runs(8, 3),
        each=steps,
        flop=step_flop(settings, recipe.width),
        remark=f"{what}, {recipe.width} streams; {COMPILED}",
    )


def step_flop(settings: Settings, streams: int) -> float:
    """Of the matrix products of one step: forward, and twice as much backward."""
    inputs, total = 1, 0.0
    for units in settings.network.units:
        total += 2.0 * streams * settings.network.look_back * (inputs + units) * 4 * units
        inputs = units
    return 3 * total


def retrain(scene: Scene) -> Iterator[Measured]:
    """Both networks from scratch, with the choice of epoch and weights, and the model's folder written."""
    series, what = _series()
    tensorflow()

    def action(run: int) -> None:
        _train(series, "retrain", scene.folder / "retrain" / str(run))

    yield timed("retrain", action, runs=scene.runs(5, 2), remark=f"{what}; {COMPILED}")


def fine_tune(scene: Scene) -> Iterator[Measured]:
    """Both networks of yesterday's champion continued."""
    series, what = _series()
    champion = _champion(series, scene)

    def action(run: int) -> None:
        _train(series, "fine-tune", scene.folder / "fine-tune" / str(run), champion)

    yield timed("fine-tune", action, runs=scene.runs(5, 3), remark=f"{what}; TensorFlow loaded")


def paths(scene: Scene) -> Iterator[Measured]:
    series, what = _series()
    model = load_model(_champion(series, scene))
    origins = np.arange(len(series) - ORIGINS, len(series))

    def action(run: int) -> None:
        assert model.published.paths(series, origins).shape == (ORIGINS, 50)

    yield timed("paths", action, runs=scene.runs(20, 5), remark=f"{what}; {COMPILED}")


def _series() -> tuple[PriceSeries, str]:
    bars, what = long_bars(SESSIONS)
    return PriceSeries.from_bars(bars), what


def _champion(series: PriceSeries, scene: Scene) -> Path:
    """A model that learned until the session before the last; trained by the first part that asks."""
    folder = scene.folder / "champion"
    if not (folder / "model.json").is_file():
        _train(series.until(SESSIONS - 1), "retrain", folder)
    return folder


def _train(series: PriceSeries, mode: str, folder: Path, champion: Path | None = None) -> TrainedModel:
    return train(series, Settings(), Decision(mode, "bench"), champion=champion, folder=folder)
