"""MLflow's experiments: their names and places, the arrangement of their pages, and the renaming of a ticker."""

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock

from stockml.errors import TrackingUnavailable
from stockml.home import LOOPBACK
from stockml.nights.record import model_name
from stockml.tracking import views
from stockml.tracking.connection import MAX_RESULTS, Suppressed, without_password
from stockml.tracking.database import ALL_TICKERS
from stockml.tracking.models import about, link, versions_of
from stockml.tracking.views import EXPERIMENT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment


def experiment_name(ticker: str) -> str:
    return f"stockml/{ticker}"


def artifact_location(uri: str, artifacts: str, name: str) -> str | None:
    """An experiment's artifact address, the same for the database and a local server; None lets a remote one choose."""
    address = urlsplit(uri)
    elsewhere = address.scheme in {"http", "https"} and address.hostname not in LOOPBACK
    return None if elsewhere and artifacts.startswith("file:") else f"{artifacts.rstrip('/')}/{name}"


def get_or_create(client: "MlflowClient", artifacts: str, ticker: str | None, note: str = "") -> "Experiment":
    """A ticker's experiment (None: that of all), created if missing; `note` stands above it unless another does.

    Raises TrackingUnavailable.
    """
    from mlflow.exceptions import MlflowException

    name = experiment_name(ticker) if ticker else EXPERIMENT
    if found := _existing_or_restored(client, name):
        if note and views.NOTE not in found.tags:
            client.set_experiment_tag(found.experiment_id, views.NOTE, note)
        return found
    with suppress(MlflowException):  # another process was faster, or the next line says what is wrong
        place = artifact_location(client.tracking_uri, artifacts, ticker or ALL_TICKERS)
        client.create_experiment(name, place, {**views.KIND, views.NOTE: note} if note else views.KIND)
    if found := _existing_or_restored(client, name):
        return found
    raise TrackingUnavailable(without_password(client.tracking_uri), f"it did not make the experiment {name}")


def _existing_or_restored(client: "MlflowClient", name: str) -> "Experiment | None":
    """The experiment of this name; one that a person deleted still holds the name, so it is restored from the trash."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found and found.lifecycle_stage == "deleted":
        with suppress(MlflowException):  # another process was faster
            client.restore_experiment(found.experiment_id)
    return found


def arrange(client: "MlflowClient", locks: Path, found: "Experiment", view: str, note: Callable[[], str]) -> None:
    """Set view and note once per version, so that a person's changes stay; locked, as one of two writers would fail."""
    version = hashlib.sha256(view.encode()).hexdigest()[:16]
    if found.tags.get(views.ARRANGED) == version:
        return
    said = note()
    with FileLock(locks / "mlflow-pages.lock", timeout=60):
        for name, value in ((views.TAG, view), (views.NOTE, said), (views.ARRANGED, version)):
            client.set_experiment_tag(found.experiment_id, name, value)


def renamed(client: "MlflowClient", old: str, new: str) -> list[str]:
    """Give `old`'s experiment, track records and registered model to `new`, if it has none; returns what moved."""
    moved = []
    found = _existing_or_restored(client, experiment_name(old))
    if found and not client.get_experiment_by_name(experiment_name(new)):
        for run in client.search_runs([found.experiment_id], max_results=MAX_RESULTS):
            for tag in {"stockml.ticker", "ticker"} & run.data.tags.keys():  # a person's own run has neither
                client.set_tag(run.info.run_id, tag, new)
            name = run.info.run_name or ""
            if name.startswith(f"{old} "):  # unless a person gave it another
                client.update_run(run.info.run_id, name=new + name.removeprefix(old))
        for model in client.search_logged_models([found.experiment_id], max_results=MAX_RESULTS):
            for version in versions_of(model):
                link(client, model.model_id, model_name(new), version)
        client.set_experiment_tag(found.experiment_id, views.NOTE, _of_new(found.tags, old, new))
        client.rename_experiment(found.experiment_id, experiment_name(new))
        moved.append("MLflow's experiment")
    if overview := _existing_or_restored(client, EXPERIMENT):
        for run in client.search_runs([overview.experiment_id], f"tags.ticker = '{old}'"):
            client.update_run(run.info.run_id, name=new)
            client.set_tag(run.info.run_id, views.NOTE, _of_new(run.data.tags, old, new))
            client.set_tag(run.info.run_id, "ticker", new)  # last: by it the run is found
    with Suppressed("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"):
        client.rename_registered_model(model_name(old), model_name(new))
        moved.append("MLflow's model")
    with Suppressed("RESOURCE_DOES_NOT_EXIST"):  # even if the name was given before, by a process that was killed then
        client.set_registered_model_tag(model_name(new), "ticker", new)
        client.update_registered_model(model_name(new), about(new))
    return moved


def _of_new(tags: Mapping[str, str], old: str, new: str) -> str:
    """A page's note, which begins with the ticker's name unless a person wrote it, with the new name."""
    return re.sub(rf"^{re.escape(old)}(?=:|'s )", new, tags.get(views.NOTE, ""))
