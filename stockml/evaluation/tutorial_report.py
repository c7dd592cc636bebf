"""The tutorial's published figures beside this project's own, from a price file: what anyone can check."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stockml.models.tutorial.recipe import ema_error, last_value_error, standard_average_error, train_length
from stockml.prices.csv_layouts import cells_of, content_of
from stockml.prices.csv_readings import numbers_of
from stockml.settings import Settings, settings_for
from stockml.storage.arrays import Floats
from stockml.training.checkpoint import EpochProgress
from stockml.training.tutorial import Recipe, TutorialFit, fit

PUBLISHED = {"standard average": 0.00418, "EMA": 0.00003, "LSTM": 0.00243}  # the tutorial's own, on HPQ


@dataclass(frozen=True, eq=False)
class TutorialReport:
    """Errors as the tutorial takes them: 0.5 · MSE, scaled. Those of one step and of 50 steps do not compare.

    `standard_average`, `ema`: one step ahead, over the smoothed training part. `last_value`, `lstm`: the whole horizon
    from the test part's starts; `lstm` with the weights of the chosen epoch, `lstm_last` with those of the last.
    No epoch is chosen by the test part.
    """

    points: int
    standard_average: float
    ema: float
    last_value: float
    lstm: float
    lstm_last: float
    seconds_a_step: float
    fitted: TutorialFit

    def table(self) -> str:
        """Lines to print."""
        recipe, training = self.fitted.recipe, self.fitted.recipe.settings.training
        horizon = recipe.settings.evaluation.horizon
        rows = [
            ("one step, training part", "standard average", self.standard_average),
            ("one step, training part", "EMA", self.ema),
            (f"{horizon} steps, test part", "last value", self.last_value),
            (f"{horizon} steps, test part", f"LSTM, {training.epochs} epochs, kept {self.fitted.chosen}", self.lstm),
            (f"{horizon} steps, test part", f"LSTM, as epoch {training.epochs} left it", self.lstm_last),
        ]
        lines = [
            f"{self.points} points, {recipe.prepared.train_end} of them the training part; {len(recipe.test)} starts; "
            f"seed {training.seed}; rate decayed on the {training.decay_on} part",
            *(f"{kind:<26}{name:<36}{error:.5f}" for kind, name, error in rows),
            f"{self.seconds_a_step:.2f} s a step",
        ]
        return "\n".join(lines)


def mid_prices(path: Path) -> Floats:
    """(n,) mid prices of every line of a CSV file, in order, as the tutorial reads it. Raises InvalidFile."""
    cells = cells_of(path, content_of(path))
    return np.asarray((numbers_of(path, cells, "high") + numbers_of(path, cells, "low")) / 2, dtype=np.float64)


def tutorial_report(
    mid: Floats,
    settings: Settings,
    *,
    folder: Path,
    on_epoch: Callable[[EpochProgress], None] | None = None,
) -> TutorialReport:
    """Train on the first 11,000 of 12,075 points (in proportion), predict the rest.  mid: (n,), price.

    `folder` keeps the checkpoint: called again, it goes on. Raises TooFewBars, Diverged.
    """
    horizon = settings.evaluation.horizon
    recipe = Recipe.of(mid, train_length(len(mid)), settings)
    fitted = fit(recipe, folder=folder, on_epoch=on_epoch)
    rows: list[dict[str, Any]] = list(fitted.history)
    return TutorialReport(
        points=len(mid),
        standard_average=standard_average_error(recipe.prepared),
        ema=ema_error(recipe.prepared),
        last_value=last_value_error(recipe.prepared, recipe.test, horizon),
        lstm=rows[fitted.chosen - 1]["test_loss"],
        lstm_last=rows[-1]["test_loss"],
        seconds_a_step=float(np.median([row["seconds"] for row in rows])) / recipe.steps,
        fitted=fitted,
    )


def report(
    path: Path,
    *,
    epochs: int = 30,
    seed: int = 1,
    decay_on: str = "validation",
    folder: Path | None = None,
    on_epoch: Callable[[EpochProgress], None] | None = None,
) -> TutorialReport:
    """The report of a price file; without a `folder` nothing is kept. Raises InvalidFile, InvalidSetting, Diverged."""
    changed = {"training.epochs": epochs, "training.seed": seed, "training.decay_on": decay_on}
    mid, settings = mid_prices(path), settings_for("tutorial", changed)
    if folder is not None:
        return tutorial_report(mid, settings, folder=folder, on_epoch=on_epoch)
    with tempfile.TemporaryDirectory() as scratch:
        return tutorial_report(mid, settings, folder=Path(scratch), on_epoch=on_epoch)
