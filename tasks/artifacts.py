"""What a run's page in Prefect shows beside its tasks: progress while it trains, the night's text and tables."""

import json
import os
from typing import cast
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.logging import get_run_logger

from stockml import clock
from stockml.home import Home, home
from stockml.nights.glance import night_age
from stockml.nights.record import Night
from stockml.nights.summary import markdown
from stockml.tickers import as_key
from stockml.training.checkpoint import EpochProgress


class ProgressBar:
    """A bar on the run's page, there from its first move on."""

    def __init__(self, key: str, description: str) -> None:
        self._key, self._description = key, description
        self._artifact: UUID | None = None

    def move(self, percent: float) -> None:
        if self._artifact is None:
            found = create_progress_artifact(percent, key=self._key, description=self._description)
            self._artifact = cast(UUID, found)  # its type allows for a coroutine, given only where it is awaited
        else:
            update_progress_artifact(self._artifact, progress=min(percent, 100.0))


class EpochReport:
    """A progress bar on the run's page, and a log line an epoch. The bar appears with the first epoch."""

    def __init__(self, ticker: str, session: str) -> None:
        self.bar = ProgressBar(f"training-{as_key(ticker)}", f"training {ticker} {session}")
        self.done: dict[str, int] = {}
        self.logger = get_run_logger()

    def ended(self) -> None:
        if self.done:
            self.bar.move(100.0)

    def on_epoch(self, row: EpochProgress) -> None:
        """Both networks count: the one that is scored is the first half of the way, the published one the second."""
        self.logger.info(
            "%s: epoch %d of %d, loss %.4f, validation %.4f (%.1f s)",
            row.network.replace("_", " "), row.epoch, row.epochs, row.loss, row.validation_loss, row.seconds,
        )  # fmt: skip
        self.done[row.network] = row.epoch
        self.bar.move(50.0 * (len(self.done) - 1) + 50.0 * row.epoch / row.epochs)


def show_night(night: Night, calendar: str | None) -> None:
    """The night's text as Markdown with the forecast's age, and its scores as a table."""
    age = night_age(night, calendar, clock.now())
    ticker = as_key(night.ticker)
    # the spaces that keep MLflow's columns apart would be shown as they are written here
    text = "\n\n".join([markdown(night, age=age).replace("&emsp;", " "), *_in_mlflow(night)])
    create_markdown_artifact(text, key=f"night-{ticker}", description=f"{night.ticker} {night.session}")
    if night.evaluation:
        best_first = sorted(night.evaluation.scores.items(), key=lambda named: -(named[1].skill or 0.0))
        rows = [
            {"forecast": name, "MSE": _rounded(score.mse), "skill": _rounded(score.skill), "RMSE": _rounded(score.rmse)}
            for name, score in best_first
        ]
        create_table_artifact(rows, key=f"scores-{ticker}", description="All on the same origins")


def _in_mlflow(night: Night) -> list[str]:
    """The forecast's plot and the run's link, where MLflow's page is up."""
    pages = mlflow_pages(home())
    if not (pages and night.mlflow_run_id):
        return []
    picture = f"{pages}/get-artifact?path=plots%2Fforecast.png&run_uuid={night.mlflow_run_id}"
    link = night.mlflow_run_url or f"{pages}/#/runs/{night.mlflow_run_id}"
    return [f"![the forecast]({picture})", f"[All plots and numbers in MLflow]({link})"]


def mlflow_pages(place: Home) -> str | None:
    """Where MLflow's page is: STOCKML_MLFLOW_PAGE; the server that is tracked to; what `stockml up` says; or None."""
    if named := os.environ.get("STOCKML_MLFLOW_PAGE"):
        return named.rstrip("/")
    if place.tracking_uri.startswith("http"):
        return place.tracking_uri
    try:
        return str(json.loads(place.servers.read_text())["mlflow"])
    except (OSError, ValueError, KeyError):
        return None


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
