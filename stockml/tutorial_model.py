"""The tutorial's network as a ticker's model: what `nightly` trains, keeps and forecasts with under this profile."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stockml.config import Settings
from stockml.errors import TooFewBars
from stockml.fitting import EpochProgress
from stockml.forecaster import NETWORKS, TrainedModel
from stockml.normalise import Floats, PriceSeries
from stockml.policy import Decision
from stockml.tutorial import Prepared, pasts, prepare, rollout
from stockml.tutorial_training import VALIDATION_SHARE, Recipe, TutorialFit, fit
from stockml.windows import parts


@dataclass(frozen=True)
class TutorialScale:
    """Extremes of the last scaling window, in price: beyond them the network has never seen a value."""

    low: float
    high: float

    @classmethod
    def of(cls, prepared: Prepared) -> "TutorialScale":
        return cls(float(prepared.low[-1]), float(prepared.high[-1]))

    def drift(self, series: PriceSeries) -> float:
        """How far the newest price is from the window's middle, in half ranges; at least 1."""
        half = max((self.high - self.low) / 2, np.finfo(np.float64).tiny)
        return max(1.0, abs(float(series.mid[-1]) - (self.high + self.low) / 2) / half)

    def asdict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class TutorialForecaster:
    """One fitted network: `paths` is vectorised, and from `learned_until` on causal; before it, scales look ahead."""

    look_back: int
    horizon: int
    weights: tuple[NDArray[Any], ...]
    scale: TutorialScale
    learned_until: np.datetime64
    shrinkage: float = 1.0

    def paths(self, series: PriceSeries, origins: NDArray[np.int64] | Sequence[int]) -> Floats:
        """(len(origins), horizon) mid prices: row m, column k - 1 is session origins[m] + k as seen after origins[m].

        The series must begin where the learned one began. Origins must be at least look_back - 1.
        """
        at = np.asarray(origins, dtype=np.int64)
        train_end = int(np.searchsorted(series.sessions, self.learned_until, side="right"))
        prepared = prepare(series.mid, train_end)
        fed = pasts(prepared.values, at + 1, self.look_back)
        return prepared.prices(at, rollout(self.weights, fed, self.horizon))


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
    split = parts(len(series), settings.evaluation)
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


def restored(kept: dict[str, Any], settings: Settings, weights: tuple[NDArray[Any], ...]) -> TutorialForecaster:
    """What a model's folder says of one network, as a forecaster."""
    return TutorialForecaster(
        look_back=settings.network.look_back,
        horizon=settings.evaluation.horizon,
        weights=weights,
        scale=TutorialScale(**kept["scale"]),
        learned_until=np.datetime64(kept["learned_until"]),
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
    training = replace(settings.training, decay_on="validation")
    weights = None
    if start is not None:
        weights = getattr(start, name).weights
        training = replace(training, epochs=training.fine_tune_epochs, learning_rate=training.fine_tune_learning_rate)
    recipe = Recipe.of(series.mid[:train_end], train_end, replace(settings, training=training))
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
