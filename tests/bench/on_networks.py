"""Figures of training and measuring. A night's own needs no TensorFlow; the tutorial's and a base's does."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from stockml.evaluation.assessment import assess
from stockml.models.pooled_regression import PooledRegression
from stockml.models.retrain_policy import Decision
from stockml.models.trained_model import TrainedModel, load_model
from stockml.models.tutorial.network import StreamNetwork
from stockml.models.tutorial.recipe import train_length
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from stockml.settings import Mode, Settings, settings_for
from stockml.training.base_trainer import members_of
from stockml.training.pretrain import pretrain
from stockml.training.ticker_training import unseen_parts
from stockml.training.train import train
from stockml.training.tutorial import Recipe, epoch_of
from tests.bench.material import CSV_ROWS, TICKER, long_bars
from tests.bench.measuring import Measured, Scene, timed
from tests.bench.on_machine import FLOP, tensorflow_product

SESSIONS = 10_000
FEW, FEW_SESSIONS = 4, 3_000
STEPS, FEW_STEPS = 4, 2
PRODUCTS = 11  # between two runs: together about as long as one
COMPILED = "TensorFlow loaded; the first run compiles"


def tutorial_step(scene: Scene) -> Iterator[Measured]:
    """Optimiser steps of the published recipe at its published size, a few at a time, a roof before each.

    On a machine that others share both change from minute to minute: a share is of two that follow each other.
    """
    steps = FEW_STEPS if scene.fast else STEPS
    bars, what = long_bars(CSV_ROWS)
    settings = settings_for("tutorial")
    recipe = Recipe.of(PriceSeries.from_bars(bars).mid, train_length(len(bars)), settings)
    network = StreamNetwork(settings, recipe.width)
    x, y, _ = epoch_of(recipe.streams(), steps, np.random.default_rng(1))
    product, roofs, flop = tensorflow_product("float32"), [], step_flop(settings, recipe.width)

    def prepare(run: int) -> None:
        each = timed("roof", lambda _: product(), runs=PRODUCTS).median
        roofs.append(FLOP / each)

    def action(_: None) -> None:
        network.fit_epoch(x, y, settings.training.learning_rate)

    remark = f"{what}, {recipe.width} streams; {COMPILED}"
    step = timed("tutorial step", action, runs=scene.runs(12, 3), prepare=prepare, each=steps, flop=flop, remark=remark)
    shares = tuple(flop / seconds / roof for seconds, roof in zip(step.values, roofs[1:], strict=True))
    yield replace(step, shares=shares)


def step_flop(settings: Settings, streams: int) -> float:
    """Of the matrix products of one step: forward, and twice as much backward."""
    inputs, total = 1, 0.0
    for units in settings.network.units:
        total += 2.0 * streams * settings.network.look_back * (inputs + units) * 4 * units
        inputs = units
    return 3 * total


def retrain(scene: Scene) -> Iterator[Measured]:
    """Both networks from the base and the whole history, what that is worth, and the model's folder written."""
    series, what = _series()

    def action(run: int) -> None:
        _train(series, "retrain", scene.folder / "retrain" / str(run))

    yield timed("retrain", action, runs=scene.runs(5, 2), remark=what)


def fine_tune(scene: Scene) -> Iterator[Measured]:
    """Both networks of yesterday's champion continued, and what that is worth."""
    series, what = _series()
    champion = _champion(series, scene)

    def action(run: int) -> None:
        _train(series, "fine-tune", scene.folder / "fine-tune" / str(run), champion)

    yield timed("fine-tune", action, runs=scene.runs(5, 3), remark=what)


def score(scene: Scene) -> Iterator[Measured]:
    """A kept model loaded, measured beside every simple forecast, and tonight's forecast made of it."""
    series, what = _series()
    folder, settings = _champion(series, scene), Settings().evaluation
    upcoming = sessions_for(TICKER).after(series.sessions[-1].item(), settings.horizon)

    def action(run: int) -> None:
        split = unseen_parts(series, settings)
        assert assess(series, load_model(folder), None, settings, upcoming, split, kept=True).kept

    yield timed("score", action, runs=scene.runs(5, 2), remark=what)


def pretraining(scene: Scene) -> Iterator[Measured]:
    """One pass of one member of a base network over a few tickers; a vintage makes 4 of each of 2 over 101 of them."""
    bars, what = long_bars(FEW_SESSIONS)
    series = {f"T{n}": PriceSeries.from_bars(bars.iloc[n:]) for n in range(FEW)}
    end = series["T0"].sessions[-1].item()
    pooled = PooledRegression.fit(series, end)
    members = (replace(members_of()[0], epochs=1),)

    def action(run: int) -> None:
        pretrain(series, end, pooled, folder=scene.folder / "pretraining" / str(run), members=members)

    yield timed("pretraining", action, runs=scene.runs(3, 1), remark=f"{FEW} times {what}; {COMPILED}")


def _series() -> tuple[PriceSeries, str]:
    bars, what = long_bars(SESSIONS)
    return PriceSeries.from_bars(bars), what


def _champion(series: PriceSeries, scene: Scene) -> Path:
    """A model that learned until the session before the last; trained by the first part that asks."""
    folder = scene.folder / "champion"
    if not (folder / "model.json").is_file():
        _train(series.until(SESSIONS - 1), "retrain", folder)
    return folder


def _train(series: PriceSeries, mode: Mode, folder: Path, champion: Path | None = None) -> TrainedModel:
    """As asked for: a training whose worth is not shown is used all the same."""
    return train(series, Settings(mode=mode), Decision(mode, "bench"), champion=champion, folder=folder)
