"""Benchmarks of training and scoring. A night's own needs no TensorFlow; the tutorial's and a
pretrained network's do."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from stockml.evaluation.assessment import assess
from stockml.models.har_regression import HarRegression
from stockml.models.retrain_policy import Decision
from stockml.models.ridge_regression import RidgeRegression
from stockml.models.trained_model import TrainedModel, load_model
from stockml.models.tutorial.network import build, fit_epoch
from stockml.models.tutorial.recipe import train_length
from stockml.prices.calendar import sessions_for
from stockml.prices.series import PriceSeries
from stockml.settings import Mode, Settings, settings_for
from stockml.training.network_trainer import members_of
from stockml.training.pretrain import pretrain
from stockml.training.ticker_training import split_after_vintages
from stockml.training.train import train
from stockml.training.tutorial import Recipe, epoch_of
from tests.bench.material import CSV_ROWS, TICKER, long_bars
from tests.bench.measuring import Measured, Scene, timed
from tests.bench.on_machine import FLOP, tensorflow_product

SESSIONS = 10_000
FEW, FEW_SESSIONS = 4, 3_000
STEPS, FEW_STEPS = 4, 2
PRODUCTS = 11  # per run: together they take about as long as one run
COMPILED = "TensorFlow loaded; the first run compiles"


def tutorial_step(scene: Scene) -> Iterator[Measured]:
    """Time a few optimiser steps of the published recipe at its published size, and a matrix
    product before each run.

    On a shared machine both change from minute to minute, so each share compares a run with the
    product just before it.
    """
    steps = FEW_STEPS if scene.fast else STEPS
    bars, what = long_bars(CSV_ROWS)
    settings = settings_for("tutorial")
    recipe = Recipe.of(PriceSeries.from_bars(bars).mid, train_length(len(bars)), settings)
    model = build(settings, recipe.width)
    x, y, _ = epoch_of(recipe.streams(), steps, np.random.default_rng(1))
    product, roofs, flop = tensorflow_product("float32"), [], step_flop(settings, recipe.width)

    def prepare(run: int) -> None:
        each = timed("roof", lambda _: product(), runs=PRODUCTS).median
        roofs.append(FLOP / each)

    def action(_: None) -> None:
        fit_epoch(model, x, y, settings.training.learning_rate)

    remark = f"{what}, {recipe.width} streams; {COMPILED}"
    step = timed(
        "tutorial step",
        action,
        runs=scene.runs(12, 3),
        prepare=prepare,
        each=steps,
        flop=flop,
        remark=remark,
    )
    shares = tuple(
        flop / seconds / roof for seconds, roof in zip(step.values, roofs[1:], strict=True)
    )
    yield replace(step, shares=shares)


def step_flop(settings: Settings, streams: int) -> float:
    """FLOP of the matrix products in one step: forward, and twice as many backward."""
    inputs, total = 1, 0.0
    for units in settings.network.units:
        total += 2.0 * streams * settings.network.look_back * (inputs + units) * 4 * units
        inputs = units
    return 3 * total


def retrain(scene: Scene) -> Iterator[Measured]:
    """Train both networks from the pretrained network on the whole history, assess their worth, and
    write the model's folder."""
    series, what = _series()

    def action(run: int) -> None:
        _train(series, "retrain", scene.folder / "retrain" / str(run))

    yield timed("retrain", action, runs=scene.runs(5, 2), remark=what)


def fine_tune(scene: Scene) -> Iterator[Measured]:
    """Continue both networks of yesterday's champion and assess their worth."""
    series, what = _series()
    champion = _champion(series, scene)

    def action(run: int) -> None:
        _train(series, "fine-tune", scene.folder / "fine-tune" / str(run), champion)

    yield timed("fine-tune", action, runs=scene.runs(5, 3), remark=what)


def score(scene: Scene) -> Iterator[Measured]:
    """Load a kept model, score it beside every simple forecast, and make tonight's forecast with
    it."""
    series, what = _series()
    folder, settings = _champion(series, scene), Settings().evaluation
    upcoming = sessions_for(TICKER).after(series.sessions[-1].item(), settings.horizon)

    def action(run: int) -> None:
        split = split_after_vintages(series, settings)
        assert assess(series, load_model(folder), None, settings, upcoming, split, kept=True).kept

    yield timed("score", action, runs=scene.runs(5, 2), remark=what)


def pretraining(scene: Scene) -> Iterator[Measured]:
    """Time one epoch of one base-network member on a few tickers; a vintage takes 8 epochs of each
    of 2 on 100."""
    bars, what = long_bars(FEW_SESSIONS)
    series = {f"T{n}": PriceSeries.from_bars(bars.iloc[n:]) for n in range(FEW)}
    end = series["T0"].sessions[-1].item()
    pooled = HarRegression.fit(series, end)
    ridge = RidgeRegression.fit(series, end, pooled)
    members = (replace(members_of()[0], epochs=1),)

    def action(run: int) -> None:
        pretrain(
            series,
            end,
            pooled,
            ridge,
            folder=scene.folder / "pretraining" / str(run),
            members=members,
        )

    yield timed(
        "pretraining", action, runs=scene.runs(3, 1), remark=f"{FEW} times {what}; {COMPILED}"
    )


def _series() -> tuple[PriceSeries, str]:
    bars, what = long_bars(SESSIONS)
    return PriceSeries.from_bars(bars), what


def _champion(series: PriceSeries, scene: Scene) -> Path:
    """A model trained through the session before the last, by the first part that needs it; returns
    its folder."""
    folder = scene.folder / "champion"
    if not (folder / "model.json").is_file():
        _train(series.until(SESSIONS - 1), "retrain", folder)
    return folder


def _train(
    series: PriceSeries, mode: Mode, folder: Path, champion: Path | None = None
) -> TrainedModel:
    """Train in the given mode; the result is used even if its worth is not shown."""
    return train(
        series, Settings(mode=mode), Decision(mode, "bench"), champion=champion, folder=folder
    )
