"""How MLflow's tables open: their columns and order. Plain data; imports no mlflow.

MLflow's page keeps a shared view's state as JSON in an experiment's tag and opens it by a link with
the tag's key. A page that does not know these tags opens as it is by default.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

EXPERIMENT = "stockml"  # for all tickers; those that begin with it and a slash are the tickers' own
KEY = "stockml"
TAG = f"mlflow.sharedViewState.{KEY}"
# which view this project wrote last; pages hide what begins with mlflow
ARRANGED = "mlflow.stockml.view"
NOTE = "mlflow.note.content"
KIND = {"mlflow.experimentKind": "custom_model_development"}

SEARCHED = {"network": ("cell", "units", "dropout"), "training": ("optimizer", "learning_rate")}


def nights_view() -> str:
    """One ticker's nights: newest session first."""
    figures = ("close", "low_20", "high_20", "network_adds", "training_adds", "skill", "band80")
    columns = [*(f"metrics.{name}" for name in figures), "params.promoted"]
    return _view("params.session", columns, ascending=False)


def record_view() -> str:
    """All tickers' track records, drawn over the dates of the sessions."""
    figures = ("network_adds", "crps_skill", "band80", "live_skill", "live_count", "width")
    columns = ["tags.session", *(f"metrics.{name}" for name in figures), "tags.published"]
    return _view("tags.ticker", columns, ascending=True, axis="time")


def trials_view() -> str:
    """A ticker's trials: lowest validation loss first, beside the last value's and the settings
    that were tried."""
    metrics = ("metrics.lowest_validation_loss", "metrics.last_value_loss")
    params = (f"params.{part}.{name}" for part, names in SEARCHED.items() for name in names)
    columns = [*metrics, "tags.state", *params, "tags.stockml.study"]
    return _view(metrics[0], columns, ascending=True)


def tutorial_view() -> str:
    """The tutorial's trainings by share: the network beside what constant forecasts reach from the
    same starts."""
    metrics = ("paths/LSTM", "paths/LSTM last epoch", "paths/last value", "paths/EMA")
    measured = (*metrics, "direction/right", "direction/rose")
    columns = ["tags.share", *(f"metrics.{name}" for name in measured)]
    columns += [f"params.{name}" for name in ("network.cell", "training.epochs", "training.seed")]
    return _view("tags.share", columns, ascending=True)


def pretrained_view() -> str:
    """The pretrained networks, newest vintage first."""
    columns = [f"params.{name}" for name in ("through", "tickers", "sessions", "origins")]
    learned = ("CRPS over the regression", "tickers that gain percent")
    columns += [f"metrics.learned: {what}" for what in learned]
    return _view("params.through", columns, ascending=False)


def view_url(address: str, experiment_id: str, *, charts: bool = False) -> str:
    """The link that opens an experiment's view; an empty address gives a link for use within
    MLflow's own pages."""
    mode = "&compareRunsMode=CHART" if charts else ""
    query = f"viewStateShareKey={KEY}&workflowType=machine_learning{mode}"
    page = f"#/experiments/{experiment_id}/runs?{query}"
    return f"{address.rstrip('/')}/{page}" if address else page


def links(experiment_id: str, charts: str = "charts") -> str:
    table, drawn = view_url("", experiment_id), view_url("", experiment_id, charts=True)
    return f"[Table]({table}) · [{charts}]({drawn})"


def arrange(
    client: "MlflowClient",
    locks: Path,
    experiment: "Experiment",
    view: str,
    note: Callable[[], str],
) -> None:
    """Set view and note once per version, so that a person's changes stay; locked, or one of two
    writers fails."""
    version = hashlib.sha256(view.encode()).hexdigest()[:16]
    if experiment.tags.get(ARRANGED) == version:
        return
    page_text = note()
    with FileLock(locks / "mlflow-pages.lock", timeout=60):
        for name, value in ((TAG, view), (NOTE, page_text), (ARRANGED, version)):
            client.set_experiment_tag(experiment.experiment_id, name, value)


def _view(order: str, columns: list[str], *, ascending: bool, axis: str = "step") -> str:
    """The view's state as the page writes it; it draws its own charts."""
    names = [_quoted(column) for column in columns]
    charts = {"xAxisKey": axis, "lineSmoothness": 0, "selectedXAxisMetricKey": ""}
    state = {
        "orderByKey": _quoted(order),
        "orderByAsc": ascending,
        "selectedColumns": names,
        "columnOrder": names,
        "columnWidths": dict.fromkeys(names, 100),  # pixels
        "globalLineChartConfig": charts,
    }
    return json.dumps(state, separators=(",", ":"))


def _quoted(column: str) -> str:
    kind, _, name = column.partition(".")
    return f"{kind}.`{name}`"
