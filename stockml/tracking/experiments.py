"""MLflow's experiments: names and locations, the text above their tables (what each metric is, and
its unit), renaming a ticker."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stockml.errors import TrackingUnavailable, quantity
from stockml.home import LOOPBACK
from stockml.nights.record import model_name
from stockml.tracking import views
from stockml.tracking.connection import (
    MAX_RESULTS,
    Suppressed,
    folder_at,
    is_server,
    without_password,
)
from stockml.tracking.models import about
from stockml.tracking.views import EXPERIMENT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

MAX_TAG_LENGTH = 20_000  # characters that MLflow keeps of an experiment's tag
METRICS = {  # of a ticker's nights; the last four are the track records' alone
    "band80": "%: how often the price was inside the published 80% band, all leads; ideal: 80",
    "close": "price: the session's close; all prices are split-adjusted",
    "low_20, high_20": "price: the published 80% range, 20 sessions ahead",
    "skill": "%: 1 − MSE of the published path / MSE of the last close",
    "rmse_path, rmse_close, rmse_average, rmse_ema": "price: error of the published path, of the "
    "last close, of the mean of 100 closes, of their moving average; all leads",
    "network_adds": "%: CRPS saved by the network's width, against the ridge regression's",
    "training_adds": "%: CRPS saved by tonight's training, whether its network is published or not",
    "loss, validation_loss": "of tonight's training, by step: pinball, in volatilities · √lead; "
    "tutorial: ½ MSE of scaled prices, by epoch",
    "vol_20": "%: expected volatility of the next 20 sessions, a year",
    "width": "%: of the 80% band, relative to this share's usual range (100)",
    "live_skill": "%: skill of the forecasts published in time, against first-known prices",
    "live_band80": "%: how often the price was inside their 80% band",
    "live_count": "how many of them share no session; below 30, too few to judge",
    "crps_skill": "%: CRPS skill of the published distribution over the regression",
    "promoted": "1 if that night's model was promoted, else 0",
}

ALL_TICKERS = "all-tickers"  # the folder of the experiment `stockml`, which has the track records


def experiment_name(ticker: str) -> str:
    return f"stockml/{ticker}"


def artifact_location(uri: str, artifacts: str, name: str) -> str | None:
    """An experiment's artifact address, the same for the database and a local server; None lets a
    remote one choose."""
    address = urlsplit(uri)
    elsewhere = address.scheme in {"http", "https"} and address.hostname not in LOOPBACK
    return (
        None if elsewhere and artifacts.startswith("file:") else f"{artifacts.rstrip('/')}/{name}"
    )


def get_or_create(client: "MlflowClient", artifacts: str, ticker: str | None) -> "Experiment":
    """A ticker's experiment (None: that of all), created if missing.  Raises
    TrackingUnavailable."""
    from mlflow.exceptions import MlflowException

    name = experiment_name(ticker) if ticker else EXPERIMENT
    if experiment := _existing_or_restored(client, name):
        check_files(client, artifacts, name)
        return experiment
    # another process was faster, or the next line says what is wrong
    with suppress(MlflowException):
        location = artifact_location(client.tracking_uri, artifacts, ticker or ALL_TICKERS)
        client.create_experiment(name, location, views.KIND)
    if experiment := _existing_or_restored(client, name):
        return experiment
    raise TrackingUnavailable(
        without_password(client.tracking_uri), f"it did not make the experiment {name}"
    )


def check_files(client: "MlflowClient", artifacts: str, name: str = "stockml%") -> None:
    """Raise TrackingUnavailable where the home was moved: MLflow keeps full addresses, and would
    write to the old."""
    ours = folder_at(artifacts)
    if is_server(client.tracking_uri) or not ours:
        return
    for experiment in client.search_experiments(
        filter_string=f"name LIKE '{name}'", max_results=MAX_RESULTS
    ):
        folder = folder_at(experiment.artifact_location)
        if (
            folder
            and ours not in folder.parents
            and not folder.exists()
            and not folder.parent.exists()
        ):
            moved = (
                f"it keeps the files of {experiment.name} in {folder}, which is gone; if the home "
                "was moved"
            )
            remedy = f"leave a link where it was: `ln -s {ours.parent} {folder.parent.parent}`"
            raise TrackingUnavailable(without_password(client.tracking_uri), f"{moved}, {remedy}")


def _existing_or_restored(client: "MlflowClient", name: str) -> "Experiment | None":
    """The experiment of this name, restored from the trash if a person deleted it: the name is
    still taken."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment and experiment.lifecycle_stage == "deleted":
        with suppress(MlflowException):  # another process was faster
            client.restore_experiment(experiment.experiment_id)
    return experiment


def rename(client: "MlflowClient", old: str, new: str) -> list[str]:
    """Rename `old`'s experiment, track records and registered model to `new`, if free; returns what
    moved."""
    moved = []
    experiment = _existing_or_restored(client, experiment_name(old))
    if experiment and not client.get_experiment_by_name(experiment_name(new)):
        for run in client.search_runs([experiment.experiment_id], max_results=MAX_RESULTS):
            for tag in {
                "stockml.ticker",
                "ticker",
            } & run.data.tags.keys():  # a person's own run has neither
                client.set_tag(run.info.run_id, tag, new)
            name = run.info.run_name or ""
            if name.startswith(f"{old} "):  # unless a person gave it another
                client.update_run(run.info.run_id, name=new + name.removeprefix(old))
        client.set_experiment_tag(
            experiment.experiment_id, views.NOTE, _renamed_note(experiment.tags, old, new)
        )
        client.rename_experiment(experiment.experiment_id, experiment_name(new))
        moved.append("MLflow's experiment")
    if overview := _existing_or_restored(client, EXPERIMENT):
        for run in client.search_runs([overview.experiment_id], f"tags.ticker = '{old}'"):
            client.update_run(run.info.run_id, name=new)
            client.set_tag(run.info.run_id, views.NOTE, _renamed_note(run.data.tags, old, new))
            client.set_tag(run.info.run_id, "ticker", new)  # last: by it the run is found
    with Suppressed("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"):
        client.rename_registered_model(model_name(old), model_name(new))
        moved.append("MLflow's model")
    # even if the name was given before, by a process that was killed then
    with Suppressed("RESOURCE_DOES_NOT_EXIST"):
        client.set_registered_model_tag(model_name(new), "ticker", new)
        client.update_registered_model(model_name(new), about(new))
    return moved


def _renamed_note(tags: Mapping[str, str], old: str, new: str) -> str:
    """A page's note under the new name; it begins with the ticker's unless a person wrote it."""
    return re.sub(rf"^{re.escape(old)}(?=:|'s )", new, tags.get(views.NOTE, ""))


def nights_note(ticker: str, experiment_id: str, overview_id: str) -> str:
    all_tickers = f"[all tickers]({views.view_url('', overview_id)})"
    links = f"{views.links(experiment_id)} · {all_tickers}"
    opening = f"{ticker}: one run per night, newest session first. {links}"
    return _with_metrics(opening)


def record_note(page: str, experiment_id: str) -> str:
    """The note above all tickers: as much of `page` as MLflow has room for, then the metrics."""
    records = views.links(experiment_id, "track records")
    last = _with_metrics(f"{records}: one run per ticker, one step per session (YYYYMMDD)")
    return "\n".join([*_fitting(page.splitlines(), MAX_TAG_LENGTH - len(last) - 100), "", last])


def _fitting(lines: list[str], max_size: int) -> list[str]:
    """The lines that fit: without the table's last rows if too many, and with their number."""
    table = [at for at, line in enumerate(lines) if line.startswith("|")]
    shown, rows, size = list(lines), table[2:], sum(len(line) + 1 for line in lines)
    while size > max_size:
        size -= len(shown.pop(rows.pop() if rows else -1)) + 1
    if omitted := len(table[2:]) - len(rows):
        at = table[1] + 1 + len(rows)
        more = quantity(omitted, "more ticker")
        shown[at:at] = ["", f"{more}: `stockml status`, or the artifact `status` in Prefect"]
    return shown


def _with_metrics(opening: str) -> str:
    rows = [f"| {name} | {meaning} |" for name, meaning in METRICS.items()]
    return "\n".join([opening, "", "| metric | unit and meaning |", "|---|---|", *rows])
