"""Commands that run long: training a pretrained network, searching for settings, and the published
tutorial."""

import itertools
import shlex
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, BadParameter, Option, Typer

from deployments.cli.options import (
    Calendar,
    Json,
    Settings,
    as_settings,
    as_ticker,
    as_tutorial_settings,
    day,
    folder,
    json_text,
)
from deployments.cli.runs import check_bars, quiet_libraries, run_flow
from stockml.errors import TrackingUnavailable
from stockml.home import current_home

if TYPE_CHECKING:
    from stockml.evaluation.tutorial_report import TutorialReport
    from stockml.training.checkpoint import EpochProgress
    from stockml.training.tuning import TrialRecord, TuningResult

app = Typer()


@app.command()
def pretrain(
    prices: Annotated[Path | None, folder("Learn from these daily price files.")] = None,
    through: Annotated[
        date | None, day("The last session to learn from; default: the newest.")
    ] = None,
    seeds: Annotated[
        int, Option(min=1, max=10, help="Networks to train; the pretrained network is their mean.")
    ] = 2,
    as_json: Json = False,
) -> None:
    """Train a pretrained network for nights to start from. Learns from the store's tickers, or
    those of --prices."""
    from stockml.models.vintage_store import file_name

    pretrained = run_flow(
        "studies.pretrain", quiet=as_json, prices=str(prices or ""), through=through, seeds=seeds
    )
    plain = {
        "through": pretrained.through.isoformat(),
        "tickers": list(pretrained.tickers),
        "scores": dict(pretrained.scores),
    }
    lines = [
        (
            f"a pretrained network of {len(pretrained.tickers)} tickers through "
            f"{pretrained.through}, {pretrained.origins:,} origins"
        )
    ]
    lines += [f"  {name:<46} {value:.4g}" for name, value in pretrained.scores.items()]
    lines += [
        (
            "  these are of what it learned from: no evidence of skill, which `stockml backtest` "
            "measures on later nights"
        ),
        (
            f"  nights after {pretrained.through}, up to a newer pretrained network, start from "
            f"{current_home().pretrained / file_name(pretrained)}"
        ),
    ]
    print(json_text(plain) if as_json else "\n".join(lines))


@app.command("tune")
def search(
    source: Annotated[
        str, Argument(metavar="TICKER|FILE", help="A ticker, or a CSV file of daily prices.")
    ],
    trials: Annotated[
        int, Option(min=1, help="Trials in total; a repeated search continues up to it.")
    ] = 30,
    settings: Annotated[
        list[str] | None,
        Option("--set", metavar="NAME=VALUE", help="A setting to fix instead of searching it."),
    ] = None,
    calendar: Calendar = None,
    as_json: Json = False,
) -> None:
    """Search for better settings of the tutorial's network. A ticker's `tutorial` nights then use
    what was found.

    Settings are compared on the validation part only, from the published ones on, whatever was
    found before. On a full history, 30 trials take hours.
    """
    if is_file := Path(source).is_file() or Path(source).suffix in (".csv", ".txt"):
        if calendar:
            raise BadParameter("expected no --calendar with a file: it has its own dates")
        tuned = _tuned_tutorial(Path(source), as_tutorial_settings(settings), trials, quiet=as_json)
    else:
        arguments: dict[str, Any] = {
            "trials": trials,
            "settings": as_settings(settings),
        }
        check_bars([ticker := as_ticker(source)], calendar)
        tuned = run_flow("studies.tune", ticker, calendar=calendar, quiet=as_json, **arguments)
    plain = {
        "ticker": tuned.ticker,
        "trials": tuned.trials,
        "pruned": tuned.pruned,
        "validation_loss": tuned.loss,
    }
    plain |= {"default_loss": tuned.default_loss, "last_value_loss": tuned.last_value_loss}
    plain |= {"settings": dict(tuned.settings), "path": str(tuned.path)}
    lines = [
        f"{tuned.ticker}: {tuned.text}",
        *(f"  {name:<26} {value}" for name, value in tuned.as_options().items()),
        f"  written to {tuned.path}",
    ]
    if is_file:
        chosen = " ".join(
            f"--set {shlex.quote(f'{name}={value}')}" for name, value in tuned.as_options().items()
        )
        lines.append(
            f"  the test part has not been looked at: stockml tutorial {shlex.quote(source)} "
            f"{chosen}"
        )
    else:
        lines.append(f"  used from now on by: stockml nightly {tuned.ticker} --profile tutorial")
    print(json_text(plain) if as_json else "\n".join(lines))


def _tuned_tutorial(
    file: Path, changed: dict[str, Any], trials: int, *, quiet: bool
) -> "TuningResult":
    import numpy as np

    from stockml.clock import time_left
    from stockml.evaluation.tutorial_report import check_length, prices_of, share_of
    from stockml.prices.series import PriceSeries
    from stockml.settings import tutorial_settings
    from stockml.tracking.client import Tracking
    from stockml.tracking.study_runs import log_trial
    from stockml.training.tuning import Search, space_beside, tune

    sessions, mid = prices_of(file)
    settings = tutorial_settings(changed)
    check_length(file, len(mid), settings)
    series = PriceSeries(sessions, mid, mid, mid, mid, np.zeros(len(mid)))
    search = Search(f"{share_of(file)}.tutorial", series, settings, "tpe", space_beside(changed))
    seconds: list[float] = []
    with quiet_libraries() as terminal:

        def on_trial(trial: "TrialRecord") -> None:
            seconds.append(trial.seconds)
            if not quiet:
                loss = trial.state if trial.loss is None else f"{trial.loss:.5f}"
                text = " ".join(
                    f"{name.split('.')[1]}={trial.settings[name]}" for name in search.space
                )
                done = (
                    f"trial {(n := len(seconds))} of {trial.of}, "
                    f"{time_left(n, trial.of, sum(seconds))}"
                )
                print(f"{done}: {loss} ({trial.seconds:.0f} s) {text}", file=terminal, flush=True)
            try:
                log_trial(Tracking(current_home()), trial)
            except TrackingUnavailable as error:
                print(f"MLflow has not got it: {error}", file=terminal)

        return tune(current_home(), search, trials=trials, on_trial=on_trial)


@app.command()
def tutorial(
    files: Annotated[
        list[Path], Argument(metavar="FILE", help="Daily prices as CSV, such as hpq.us.txt.")
    ],
    seeds: Annotated[
        int, Option(min=1, help="How many seeds to train, from training.seed up.")
    ] = 1,
    settings: Settings = None,
) -> None:
    """Train by the published tutorial's recipe. Prints, draws and logs its figures.

    With several files or seeds, also prints how far the seed alone moves the result.
    """
    from stockml.evaluation.tutorial_report import seed_table, untrained_report

    changed = as_tutorial_settings(settings)
    for file in files:
        untrained_report(file, changed)  # raises now, not after the hours that earlier files take
    first = changed.get("training.seed", 1)
    trainings = list(itertools.product(files, range(first, first + seeds)))
    reports = []
    for number, (file, each_seed) in enumerate(trainings, start=1):
        position = f"training {number} of {len(trainings)}" if len(trainings) > 1 else ""
        seeded = changed | {"training.seed": each_seed}
        reports.append(_train_and_report(file, seeded, position))
    if len(reports) > 1:
        print(seed_table(reports))


def _train_and_report(file: Path, changed: dict[str, Any], position: str) -> "TutorialReport":
    """position: which of several trainings this is; empty for a single one."""
    from stockml.evaluation.tutorial_report import report, share_of
    from stockml.plots.tutorial import draw
    from stockml.settings import tutorial_settings
    from stockml.tracking.client import Tracking
    from stockml.tracking.study_runs import log_tutorial

    # named by all settings, so that an interrupted training survives a run with others
    name = f"{share_of(file)}-{changed['training.seed']}-{tutorial_settings(changed).sha256()[:8]}"
    lead, end = (
        (f"{position}, {share_of(file)} seed {changed['training.seed']}: ", " of it")
        if position
        else ("", "")
    )
    folder = current_home().root / "tutorial" / name
    pictures = folder / "plots"
    compile_notes = iter([", or less: this epoch compiled its steps too"])
    with quiet_libraries() as terminal:

        def on_epoch(row: "EpochProgress") -> None:
            print(
                f"{lead}{row}{end}{next(compile_notes, '') if row.seconds_left else ''}",
                file=terminal,
                flush=True,
            )

        result = report(file, changed, folder=folder, on_epoch=on_epoch)
        drawn = draw(result, pictures)
        try:
            run = log_tutorial(Tracking(current_home()), result, pictures, now=datetime.now(UTC))
            logged = f"run {run} in MLflow's experiment stockml/tutorial"
        except TrackingUnavailable as error:
            logged = f"not in MLflow: {error}"
    print(result.table())
    print(f"{len(drawn)} pictures in {pictures}; {logged}\n", flush=True)
    return result
