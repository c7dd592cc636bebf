"""The tutorial's published figures beside this project's own, from a price file: what anyone can
check."""

import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stockml.errors import InvalidFile, InvalidTicker, quantity
from stockml.models.tutorial_recipe import one_step_errors, path_errors, train_length
from stockml.prices.bars import broken, days_of
from stockml.prices.calendar import sessions_for
from stockml.prices.csv_import import read_history, ticker_of
from stockml.prices.screening import doubtful
from stockml.redaction import excerpt
from stockml.settings import Settings, tutorial_settings
from stockml.storage.arrays import Days, Floats
from stockml.training.checkpoint import EpochProgress
from stockml.training.tutorial import VALIDATION_SHARE, Recipe, TutorialFit, fit

# the tutorial's own, on HPQ
PUBLISHED = {
    "standard average": 0.00418,
    "EMA": 0.00003,
    "LSTM": 0.00243,
}
PAGE_SHARE, PAGE_HORIZON = "HPQ", 50
# of the LSTM's figure: from epoch 10 on the page's moves from 0.00235 to 0.00321, as ours does
NOISE = 0.0006


@dataclass(frozen=True, eq=False)
class TutorialReport:
    """A share's figures as the tutorial measures them: 0.5 · MSE, scaled. One-step and 50-step
    figures do not compare.

    sessions, mid: (n,), the file's, mid in price.  one_step: over the smoothed training part.
    paths: of constant forecasts, over the whole horizon from the test part's starts; the network's
    are the fit's `test_loss`.
    """

    name: str
    sessions: Days
    mid: Floats
    one_step: Mapping[str, float]
    paths: Mapping[str, float]
    fitted: TutorialFit

    @property
    def cell(self) -> str:
        """The network's name: LSTM as on the page, GRU or PEEPHOLE."""
        return self.fitted.recipe.settings.network.cell.upper()

    @property
    def is_of_the_page(self) -> bool:
        return self.name.startswith(PAGE_SHARE)

    @property
    def published(self) -> float | None:
        """The page's error on its share over as many steps; None where the horizon is another than
        the page's."""
        return (
            PUBLISHED["LSTM"]
            if self.fitted.recipe.settings.evaluation.horizon == PAGE_HORIZON
            else None
        )

    @property
    def lstm(self) -> float:
        """The error of the chosen epoch: the test part chose nothing, unless the rate was decayed
        on it."""
        return self.by_epoch[self.fitted.chosen - 1]

    @property
    def by_epoch(self) -> list[float]:
        """The error over the test part's starts after each epoch."""
        return [row["test_loss"] for row in self.fitted.history]

    @property
    def best_epoch(self) -> int:
        """The epoch with the lowest test error, which the page plots and no forecaster can know."""
        return int(np.argmin(self.by_epoch)) + 1

    @property
    def seconds_a_step(self) -> float:
        return (
            float(np.median([row["seconds"] for row in self.fitted.history]))
            / self.fitted.recipe.steps
        )

    def figures(self) -> dict[str, float]:
        """All figures by name, as logged to MLflow."""
        right, rose = self.directions()
        correlation = self.fitted.history[self.fitted.chosen - 1]["correlation"]
        return {
            **{f"one_step/{name}": error for name, error in self.one_step.items()},
            **{f"paths/{name}": error for name, error in self.paths.items()},
            "paths/LSTM": self.lstm,
            "paths/LSTM last epoch": self.by_epoch[-1],
            "best/epoch": self.best_epoch,
            "best/LSTM": self.by_epoch[self.best_epoch - 1],
            "direction/right": right,
            "direction/rose": rose,
            "seconds_a_step": self.seconds_a_step,
            # of equal predictions there is none
            **({} if correlation is None else {"correlation": correlation}),
        }

    def directions(self) -> tuple[int, int]:
        """For how many starts the chosen epoch had the direction at `direction_step` right; for how
        many it rose."""
        recipe = self.fitted.recipe
        return recipe.directions(self.fitted.test_predictions[self.fitted.chosen - 1], recipe.test)

    def table(self) -> str:
        """Text to print: every figure beside the page's, and beside the last value's."""
        recipe, settings = self.fitted.recipe, self.fitted.recipe.settings
        training, horizon, n = settings.training, settings.evaluation.horizon, len(self.mid)
        one, many = "one step, training part", f"{horizon} steps, test part"
        lstm, epochs, best = self.cell, training.epochs, self.best_epoch
        rows = [
            *((one, name, error, PUBLISHED.get(name)) for name, error in self.one_step.items()),
            *((many, name, error, None) for name, error in self.paths.items()),
            (many, f"{lstm}, as epoch {epochs} left it", self.by_epoch[-1], self.published),
        ]
        if training.decay_on == "validation":
            rows.append(
                (many, f"{lstm}, epoch {self.fitted.chosen}, by validation", self.lstm, None)
            )
        rows.append((many, f"{lstm}, best epoch {best}, by test", self.by_epoch[best - 1], None))
        right, rose = self.directions()
        moves, count = self.fitted.history[self.fitted.chosen - 1]["correlation"], len(recipe.test)
        starts = quantity(count, "start")
        streams = f"{recipe.width} streams, as many as its length allows"
        fewer = [streams] if recipe.width < training.batch_size else []
        page = (
            f"the page's {PUBLISHED['LSTM']:.5f} is one run's: seeds and late epochs move it by ± "
            f"{NOISE:.5f}"
        )
        return "\n".join(
            [
                f"{self.name}: {n:,} sessions from {self.sessions[0]} to {self.sessions[-1]}, "
                f"{recipe.prepared.train_end:,} of them the training part; {starts}; seed "
                f"{training.seed}; rate decayed on the {training.decay_on} part",
                *fewer,
                f"{'0.5 · MSE, scaled':<64}{'here':>9}{'page, on HPQ':>14}",
                *(_line(*row) for row in rows),
                *([page] if self.published else []),
                (
                    f"best epoch {best} of {epochs}: {self.by_epoch[best - 1]:.5f}; only the test "
                    "part could have named it"
                ),
                "predicted with actual moves: correlation "
                f"{'–' if moves is None else f'{moves:+.2f}'}; direction over "
                f"{settings.evaluation.direction_step} sessions right after {right} of {starts}, "
                f"the price rose after {rose}",
                f"{self.seconds_a_step:.2f} s a step",
            ]
        )


def _line(kind: str, name: str, error: float, published: float | None) -> str:
    return f"{kind:<26}{name:<38}{error:9.5f}" + ("" if published is None else f"{published:14.5f}")


def seed_table(reports: Sequence[TutorialReport]) -> str:
    """A Markdown table, a row per share: the network's error over its seeds beside constants' on
    the same starts."""
    shares = list(dict.fromkeys(report.name for report in reports))
    horizon = reports[0].fitted.recipe.settings.evaluation.horizon
    lines = [
        f"| share | page | {reports[0].cell}, mean | lowest … highest of the seeds | seeds "
        "that beat the last value "
        "| last value | EMA | standard average |\n|---|--:|--:|--:|--:|--:|--:|--:|"
    ]
    for share in shares:
        of_share = [report for report in reports if report.name == share]
        errors, constants = [report.lstm for report in of_share], of_share[0].paths
        page = (
            f"{of_share[0].published:.5f}"
            if of_share[0].published and of_share[0].is_of_the_page
            else "–"
        )
        lines.append(
            f"| {share} | {page} | {np.mean(errors):.5f} | {min(errors):.5f} … {max(errors):.5f} "
            f"| {sum(error < constants['last value'] for error in errors)} of {len(errors)} | "
            f"{constants['last value']:.5f} | {constants['EMA']:.5f} | "
            f"{constants['standard average']:.5f} |"
        )
    training = reports[0].fitted.recipe.settings.training
    starts = ", ".join(
        dict.fromkeys(f"{report.name} {len(report.fitted.recipe.test)}" for report in reports)
    )
    chosen = ", the best by validation" if training.decay_on == "validation" else ""
    epochs = quantity(training.epochs, "epoch") + chosen
    lines.append(
        f"\n0.5 · MSE of {horizon} steps, scaled, from the test part's starts ({starts}); {epochs}."
    )
    return "\n".join(lines)


def prices_of(path: Path) -> tuple[Days, Floats]:
    """(n,) sessions and mid prices of a CSV file, by date, read and checked as an import is.

    As in the tutorial, there is no exchange's calendar, and a day without a known volume counts.
    Raises InvalidFile with the line or session, also for a bar that an import would set aside for
    its prices.
    """
    bars = read_history(path, sessions_for("", "24/7"), "FILE").bars
    faults = broken(bars, None) or doubtful(bars)
    if faults:
        raise InvalidFile(str(path), f"session {faults[0]}; correct it, or leave its line out")
    return days_of(bars), ((bars["high"] + bars["low"]) / 2).to_numpy(np.float64)


def check_length(path: Path, sessions: int, settings: Settings) -> None:
    """Raise InvalidFile, with how many sessions are enough, for a file whose training part would be
    too short."""
    least = VALIDATION_SHARE * settings.evaluation.horizon
    if train_length(sessions) < least:
        enough = next(n for n in itertools.count(sessions) if train_length(n) >= least)
        why = (
            f"expected at least {enough:,} sessions for the tutorial's recipe, found "
            f"{sessions:,}; use a longer file"
        )
        raise InvalidFile(str(path), why)


def untrained_report(path: Path, changed: Mapping[str, Any] | None = None) -> TutorialReport:
    """The report of a price file before training, with everything that needs no network.

    `changed`: dotted settings, as `{"network.cell": "gru"}`.  Raises InvalidFile, also for too
    short a file, and InvalidSetting.
    """
    sessions, mid = prices_of(path)
    settings = tutorial_settings({"training.seed": 1, **(changed or {})})
    check_length(path, len(mid), settings)
    recipe = Recipe.of(mid, train_length(len(mid)), settings)
    return TutorialReport(
        name=share_of(path),
        sessions=sessions,
        mid=mid,
        one_step=one_step_errors(recipe.prepared),
        paths=path_errors(recipe.prepared, recipe.test, settings.evaluation.horizon),
        fitted=TutorialFit(
            recipe, (), 0, (), np.empty((0, len(recipe.test), settings.evaluation.horizon))
        ),
    )


def report(
    path: Path,
    changed: Mapping[str, Any] | None = None,
    *,
    folder: Path | None = None,
    on_epoch: Callable[[EpochProgress], None] | None = None,
) -> TutorialReport:
    """Train on the first 11,000 of 12,075 points (in proportion), predict the rest.

    `folder` keeps the checkpoint, for a repeated call to resume; without one none is. Raises as
    `untrained_report`, also TooFewBars for a look-back that is too long, and Diverged.
    """
    start = untrained_report(path, changed)
    with tempfile.TemporaryDirectory() as scratch:
        return replace(
            start,
            fitted=fit(start.fitted.recipe, folder=folder or Path(scratch), on_epoch=on_epoch),
        )


def share_of(path: Path) -> str:
    """The share's name, from its file's: HPQ for `hpq.us.txt`, BRK.B for `brk.b.us.txt`."""
    try:
        return ticker_of(path)
    except InvalidTicker:
        return excerpt(
            path.name.split(".")[0].replace("$", " "), 60
        ).upper()  # a plot takes $ for a formula
