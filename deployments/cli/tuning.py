"""Commands that take their time: searching a ticker's settings, and the published tutorial's figures."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.options import Calendar, Json, Ticker, as_settings
from deployments.cli.runs import run_tuning
from deployments.servers.prefect_api import prefect_api
from stockml.home import home

app = typer.Typer()


class SamplerChoice(StrEnum):
    TPE = "tpe"
    RANDOM = "random"
    GRID = "grid"


class DecayChoice(StrEnum):
    VALIDATION = "validation"
    TEST = "test"


@app.command()
def tune(
    ticker: Ticker,
    trials: Annotated[int, typer.Option(min=1, help="of the study in all; run again, it goes on to them")] = 30,
    sampler: Annotated[SamplerChoice, typer.Option(help="how the next settings are chosen")] = SamplerChoice.TPE,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="what to change and not to search")
    ] = None,
    calendar: Calendar = None,
    as_json: Json = False,
) -> None:
    """Search a ticker's settings; its nights then use what was found.

    Settings are judged on the validation part only.
    """
    arguments = {"trials": trials, "sampler": sampler.value, "settings": as_settings(settings or [])}
    with prefect_api(home()):
        tuned = run_tuning(ticker, calendar=calendar, quiet=as_json, **arguments)
    found = {
        "ticker": ticker,
        "trials": tuned.trials,
        "pruned": tuned.pruned,
        "validation_loss": tuned.loss,
        "default_loss": tuned.default_loss,
        "settings": dict(tuned.settings),
        "path": str(tuned.path),
    }
    own = "not known" if tuned.default_loss is None else f"{tuned.default_loss:.5f}"
    lines = [
        f"{ticker}: {tuned.trials} trials, {tuned.pruned} ended early",
        f"  validation loss {tuned.loss:.5f}; of the settings before: {own}",
        *(f"  {name:<26} {value}" for name, value in tuned.settings.items()),
        f"  written to {tuned.path}",
    ]
    print(json.dumps(found) if as_json else "\n".join(lines))


@app.command()
def tutorial(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a CSV file of daily prices, such as hpq.us.txt")],
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="passes over the training part")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="of weights, streams and dropout")] = 1,
    decay_on: Annotated[
        DecayChoice, typer.Option(help="the part that lowers the learning rate; test leaks, as published")
    ] = DecayChoice.VALIDATION,
) -> None:
    """Train by the published tutorial's recipe, print its figures."""
    from deployments.cli.progress import quiet_libraries
    from stockml.evaluation.tutorial_report import report

    with quiet_libraries(home().root / "library-noise.log") as terminal:
        found = report(
            file,
            epochs=epochs,
            seed=seed,
            decay_on=decay_on.value,
            folder=home().root / "tutorial" / f"{file.name}-{seed}-{decay_on.value}",
            on_epoch=lambda row: print(
                f"epoch {row.epoch} of {row.epochs}: loss {row.loss:.4f}, "
                f"validation {row.validation_loss or 0:.5f}, rate {row.learning_rate:.1e} ({row.seconds:.0f} s)",
                file=terminal,
                flush=True,
            ),
        )
    print(found.table())
