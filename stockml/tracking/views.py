"""How MLflow's pages open: columns, order and charts. Plain data; imports no mlflow.

MLflow's page keeps a shared view's state as JSON in an experiment's tag and opens it by a link with the tag's key. A
page that does not know these tags opens as it is by default.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

EXPERIMENT = "stockml"  # for all tickers; those that begin with it and a slash are the tickers' own
KEY = "stockml"
TAG = f"mlflow.sharedViewState.{KEY}"
ARRANGED = "mlflow.stockml.view"  # which view this project wrote last; pages hide what begins with mlflow
NOTE = "mlflow.note.content"
KIND = {"mlflow.experimentKind": "custom_model_development"}

TABLE_METRICS = (
    *("answer/network_adds_crps_pct", "answer/published_crps_skill_pct", "answer/published_beats_last_close_pct"),
    *("answer/coverage_80_pct", "answer/volatility_20_pct", "answer/width_against_usual_pct"),
)
RECORD_METRICS = (
    *("record/network_adds_crps_pct", "record/crps_skill_pct", "record/coverage_80_pct"),
    *("record/live_skill_pct", "record/live_independent", "record/width_against_usual_pct"),
)
SEARCHED = ("network.cell", "network.units", "network.dropout", "training.optimizer", "training.learning_rate")


def nights_view() -> str:
    """One ticker's nights: newest session first."""
    columns = ["tags.session", "tags.verdict", *(f"metrics.{name}" for name in TABLE_METRICS)]
    charts = [*(_chart("BAR", name) for name in TABLE_METRICS), _chart("LINE", "answer/forecast")]
    return _view("tags.session", columns, charts, ascending=False)


def record_view() -> str:
    """All tickers' track records: one line per ticker over the dates of the sessions."""
    columns = ["tags.session", "tags.verdict", *(f"metrics.{name}" for name in RECORD_METRICS), "tags.published"]
    charts = [_chart("LINE", name) for name in RECORD_METRICS]
    return _view("tags.ticker", columns, charts, ascending=True, axis="time")


def trials_view() -> str:
    """A ticker's trials: lowest validation loss first, beside the last value's and the settings that were tried."""
    metrics = ("metrics.lowest_validation_loss", "metrics.last_value_loss")
    columns = [*metrics, "tags.state", *(f"params.{name}" for name in SEARCHED), "tags.stockml.study"]
    return _view(metrics[0], columns, [_chart("LINE", "validation_loss", "last_value_loss")], ascending=True)


def tutorial_view() -> str:
    """The tutorial's trainings by share: the network beside what constant forecasts reach from the same starts."""
    metrics = ("paths/LSTM", "paths/LSTM last epoch", "paths/last value", "paths/EMA")
    columns = ["tags.share", *(f"metrics.{name}" for name in (*metrics, "direction/right", "direction/rose"))]
    columns += [f"params.{name}" for name in ("network.cell", "training.epochs", "training.seed")]
    return _view("tags.share", columns, [_chart("LINE", "epoch/test_loss", "epoch/last_value_loss")], ascending=True)


def base_view() -> str:
    """The base networks, newest vintage first."""
    columns = [f"params.{name}" for name in ("through", "tickers", "sessions", "origins")]
    columns += [f"metrics.learned: {what}" for what in ("CRPS over the pooled regression", "tickers that gain percent")]
    return _view("params.through", columns, [_chart("LINE", "training/loss seed 1")], ascending=False)


def view_url(address: str, experiment_id: str, *, charts: bool = False) -> str:
    """The link that opens an experiment's view; an empty address gives a link for use within MLflow's own pages."""
    mode = "&compareRunsMode=CHART" if charts else ""
    page = f"#/experiments/{experiment_id}/runs?viewStateShareKey={KEY}&workflowType=machine_learning{mode}"
    return f"{address.rstrip('/')}/{page}" if address else page


def arrange(client: "MlflowClient", locks: Path, experiment: "Experiment", view: str, note: Callable[[], str]) -> None:
    """Set view and note once per version, so that a person's changes stay; locked, or one of two writers fails."""
    version = hashlib.sha256(view.encode()).hexdigest()[:16]
    if experiment.tags.get(ARRANGED) == version:
        return
    page_text = note()
    with FileLock(locks / "mlflow-pages.lock", timeout=60):
        for name, value in ((TAG, view), (NOTE, page_text), (ARRANGED, version)):
            client.set_experiment_tag(experiment.experiment_id, name, value)


def _chart(kind: str, *metrics: str) -> dict[str, Any]:
    """A chart in the page's own format; not marked as generated, so that the page keeps it."""
    lines = {"selectedMetricKeys": [*metrics], "scaleType": "linear", "useGlobalXaxisKey": True}
    card = {"uuid": metrics[0], "type": kind, "metricKey": metrics[0], "metricSectionId": "chosen"}
    flags = {"runsCountToCompare": 10, "deleted": False, "isGenerated": False}
    return {**card, **flags, **(lines if kind == "LINE" else {})}


def _view(order: str, columns: list[str], charts: list[dict[str, Any]], *, ascending: bool, axis: str = "step") -> str:
    """The view's state as the page writes it."""
    names = [_quoted(column) for column in columns]
    section = {"uuid": "chosen", "name": "what counts", "display": True, "isReordered": True, "deleted": False}
    state = {
        "orderByKey": _quoted(order),
        "orderByAsc": ascending,
        "selectedColumns": names,
        "columnOrder": names,
        "columnWidths": dict.fromkeys(names, 130),  # pixels
        "compareRunCharts": charts,
        "compareRunSections": [{**section, "isGenerated": False}],
        "isAccordionReordered": True,
        "globalLineChartConfig": {"xAxisKey": axis, "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }
    return json.dumps(state, separators=(",", ":"))


def _quoted(column: str) -> str:
    kind, _, name = column.partition(".")
    return f"{kind}.`{name}`"
