"""How MLflow's tables open, columns and order, and the text above them: what each metric is, and
its unit. Plain data; imports no mlflow.

MLflow's page keeps a shared view's state as JSON in an experiment's tag and opens it by a link with
the tag's key. A page that does not know these tags opens as it is by default.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from stockml.errors import quantity

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


def nights_note(ticker: str, experiment_id: str, overview_id: str) -> str:
    all_tickers = f"[all tickers]({view_url('', overview_id)})"
    opening = (
        f"{ticker}: one run per night, newest session first. {links(experiment_id)} · {all_tickers}"
    )
    return _with_metrics(opening)


def record_note(page: str, experiment_id: str) -> str:
    """The note above all tickers: as much of `page` as MLflow has room for, then the metrics."""
    records = links(experiment_id, "track records")
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


def links(experiment_id: str, charts: str = "charts") -> str:
    table, drawn = view_url("", experiment_id), view_url("", experiment_id, charts=True)
    return f"[Table]({table}) · [{charts}]({drawn})"


def _with_metrics(opening: str) -> str:
    rows = [f"| {name} | {meaning} |" for name, meaning in METRICS.items()]
    return "\n".join([opening, "", "| metric | unit and meaning |", "|---|---|", *rows])


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
