"""How MLflow's pages open: columns, order, charts, and the text above them. Plain data; imports no mlflow.

The page keeps a shared view's state as JSON in an experiment's tag and opens it by a link with the tag's key.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from stockml.errors import quantity

EXPERIMENT = "stockml"  # for all tickers; those that begin with it and a slash are the tickers' own
KEY = "stockml"
TAG = f"mlflow.sharedViewState.{KEY}"
ARRANGED = "mlflow.stockml.view"  # which view this project wrote last; pages hide what begins with mlflow
NOTE = "mlflow.note.content"
MAX_TAG_LENGTH = 20_000  # characters that MLflow keeps of an experiment's tag
KIND = {"mlflow.experimentKind": "custom_model_development"}

PCT = "%"
NIGHTS = {  # metric → unit, meaning; the first six are the table's columns
    "answer/network_adds_crps_pct": (PCT, "CRPS saved by the network's width, against the ridge regression's"),
    "answer/published_crps_skill_pct": (PCT, "CRPS skill of the published distribution over the pooled regression"),
    "answer/published_beats_last_close_pct": (PCT, "skill of the published path: 1 − MSE / MSE of the last close"),
    "answer/coverage_80_pct": (PCT, "how often the price was inside the published 80% band, over all leads"),
    "answer/volatility_20_pct": (PCT, "expected volatility of the next 20 sessions, annualised"),
    "answer/width_against_usual_pct": (PCT, "width of the 80% band relative to this share's usual range (100)"),
    "answer/training_adds_crps_pct": (PCT, "CRPS saved by tonight's training, against the pretrained network alone"),
    "answer/volatility_5_pct, answer/volatility_50_pct": (PCT, "the same for the next 5 and 50 sessions"),
    "answer/pretrained_width_crps_skill_pct": (PCT, "CRPS skill of the pretrained network's width"),
    "answer/crps_skill_pct": (PCT, "CRPS skill of tonight's network, whichever model is published"),
    "answer/width_crps_skill_pct": (PCT, "the same for its width alone, both symmetrised"),
    "answer/network_adds_pct": (PCT, "skill that a network which forecasts a path adds to it"),
    "answer/lstm_beats_last_close_pct": (PCT, "skill of that network's own path"),
    "answer/beats_champion_pct": (PCT, "CRPS saved against the champion, same origins; for a path, skill difference"),
    "answer/live_beats_last_close_pct": (PCT, "skill of forecasts published in time, against first-known prices"),
    "answer/forecast_change_pct": (PCT, "end of the published path relative to the close"),
    "answer/rise_chance_pct": (PCT, "probability of a higher price at the direction's lead"),
    "answer/forecast, forecast/*": ("price", "the published path and its 80% band; step: sessions ahead"),
    "answer/skill_by_lead": ("share", "skill of the published path; step: sessions ahead"),
    "published/origins": ("count", "past forecasts behind the test figures, the same for every row"),
    "published/crps_skill_lead_*": ("share", "CRPS skill of what is published over the pooled regression, by lead"),
    "*/mse, */half_mse, baselines/*_mse": ("share²", "squared error in units of the price's past range; half of it"),
    "*/rmse, */mae": ("price", "error of the path"),
    "*/mase": ("ratio", "mean absolute error relative to the past mean step"),
    "*/skill, */skill_lead_*, baselines/*_skill": ("share", "skill over the last close on the same origins"),
    "*/vs_*": ("share", "skill minus another row's, with its 95% interval; dm, dm_p_value: Diebold-Mariano test"),
    "*/direction_*": ("share", "accuracy; base_rate b: how often it rose; brier score (climatology: b · (1 − b))"),
    "*/one_step_*": ("", "the same for the next session alone; not comparable with paths"),
    "intervals/coverage_*": ("share", "of prices inside the published band"),
    "intervals/interval_score_*": ("price", "width plus a penalty for prices outside; lower is better"),
    "training/*": ("", "step: of the training, the tutorial's: epoch; loss, learning rate, seconds"),
    "live/*": (
        "share",
        "of forecasts published in time, by tonight's prices (first_known_*: by first-known ones, where they differ); "
        "late: all others, backfilled ones too; "
        "counts: forecasts, late, matured, steps, directions, decided, independent*",
    ),
}
RECORD = {
    "record/network_adds_crps_pct": NIGHTS["answer/network_adds_crps_pct"],
    "record/network_adds_pct": NIGHTS["answer/network_adds_pct"],
    "record/crps_skill_pct": NIGHTS["answer/published_crps_skill_pct"],
    "record/published_skill_pct": (PCT, "skill of the published path over the last close, test part"),
    "record/coverage_80_pct": (PCT, "how often the price was inside the published 80% band, test part, all leads"),
    "record/live_skill_pct": (PCT, "skill over the last close of forecasts published in time, first-known prices"),
    "record/live_coverage_80_pct": (PCT, "how often the price was inside their 80% band"),
    "record/live_independent": ("count", "non-overlapping forecasts behind these two; below 30, too few to judge"),
    "record/width_against_usual_pct": NIGHTS["answer/width_against_usual_pct"],
    "record/training_adds_crps_pct": NIGHTS["answer/training_adds_crps_pct"],
    "record/promoted": ("0 or 1", "whether that night's model was promoted"),
}
GLOSSARY = "| metric | unit | meaning |"  # by this line a note is known to be ours
SCALED = "½ MSE"  # of scaled prices
TUTORIAL = {
    "one_step/*": (SCALED, "one step ahead, on the smoothed training part"),
    "paths/LSTM": (SCALED, "whole paths of the test part, of the epoch that the validation part chose, else the last"),
    "paths/LSTM last epoch": (SCALED, "of the last epoch, as the page shows: 0.00243 on HPQ after 30 epochs"),
    "paths/*": (SCALED, "of constant forecasts from the same starts; an LSTM above the last value is worth nothing"),
    "best/LSTM": (SCALED, "of the epoch that is best on the test part, which cannot be known in advance"),
    "best/epoch": ("count", "that epoch"),
    "direction/*": ("starts", "for how many the direction was right, and for how many the price rose"),
    "correlation": ("−1 to 1", "between predicted and actual moves"),
    "seconds_a_step": ("s", "per optimiser step, median"),
    "epoch/loss": (SCALED, "training loss, summed over the steps; step of epoch/*: epoch"),
    "epoch/*_loss": (SCALED, "whole paths from the starts in that part"),
    "epoch/correlation": ("−1 to 1", "between predicted and actual moves, by epoch"),
    "epoch/learning_rate": ("", "in that epoch"),
}
TRIALS = {
    "validation_loss": (SCALED, "whole paths of the validation part; step: epoch"),
    "lowest_validation_loss": (SCALED, "its lowest value, by which trials of one study compare; partly luck"),
    "last_value_loss": (SCALED, "of no move from the same starts; a trial above it is worth nothing"),
}
BASE = {
    "training/loss *": ("σ·√lead", "mean pinball loss; step: epoch; σ is the EWMA 60 volatility"),
    "loss *": ("σ·√lead", "the same after the last epoch"),
    "learned: CRPS over the pooled regression": ("share", "CRPS skill on the training data: no evidence of skill"),
    "learned: tickers that gain percent": (PCT, "share of the training tickers that gain"),
}
TABLE_METRICS = tuple(NIGHTS)[:6]
WIDTHS = {  # pixels; else the name's
    **dict.fromkeys(("tags.`session`", "tags.`verdict`", "tags.`state`", "tags.`share`", "params.`through`"), 110),
    "tags.`published`": 400,
}
CURVES = ("answer/forecast", "answer/skill_by_lead")
SEARCHED = ("network.cell", "network.units", "network.dropout", "training.optimizer", "training.learning_rate")
FOLDED_SECTIONS = (
    *("answer", "intervals", "baselines", "champion", "forecast"),
    *("live", "lstm", "published", "training", "without_network"),
)


def nights_view() -> str:
    """One ticker's nights: newest session first."""
    columns = ["tags.session", "tags.verdict", *(f"metrics.{name}" for name in TABLE_METRICS)]
    charts = [*(_chart(name, "BAR") for name in TABLE_METRICS), *(_chart(name, "LINE") for name in CURVES)]
    return _view("tags.session", columns, charts, ascending=False, axis="step", others=FOLDED_SECTIONS)


def record_view() -> str:
    """All tickers' track records: one line per ticker over the dates of the sessions."""
    columns = ["tags.session", "tags.verdict", *(f"metrics.{name}" for name in RECORD), "tags.published"]
    charts = [_chart(name, "LINE") for name in RECORD if name != "record/network_adds_pct"]  # of the tutorial's alone
    return _view("tags.ticker", columns, charts, ascending=True, axis="time", others=("record",))


def trials_view() -> str:
    """A ticker's trials: lowest validation loss first, beside the last value's and the settings that were tried."""
    metrics = ("lowest_validation_loss", "last_value_loss")
    columns = [*(f"metrics.{name}" for name in metrics), "tags.state", *(f"params.{name}" for name in SEARCHED)]
    chart = _chart("validation_loss", "LINE", "last_value_loss")
    return _view(columns[0], [*columns, "tags.stockml.study"], [chart], ascending=True, axis="step", others=())


def tutorial_view() -> str:
    """The tutorial's trainings by share: the network beside what constant forecasts reach from the same starts."""
    settings = ("network.cell", "training.epochs", "training.decay_on", "training.seed")
    metrics = ("paths/LSTM", "paths/LSTM last epoch", "paths/last value", "paths/EMA")
    columns = ["tags.share", *(f"metrics.{name}" for name in (*metrics, "direction/right", "direction/rose"))]
    columns += [f"params.{name}" for name in settings]
    charts = [_chart("epoch/test_loss", "LINE", "epoch/last_value_loss"), _chart("epoch/correlation", "LINE")]
    others = ("best", "direction", "epoch", "one_step", "paths")
    return _view("tags.share", columns, charts, ascending=True, axis="step", others=others)


def base_view() -> str:
    """The base networks, newest vintage first."""
    params = ("through", "tickers", "sessions", "origins")
    columns = [*(f"params.{name}" for name in params), *(f"metrics.{name}" for name in BASE if "*" not in name)]
    chart = _chart("training/loss seed 1", "LINE", "training/loss seed 2")
    return _view("params.through", columns, [chart], ascending=False, axis="step", others=("training",))


def view_url(address: str, experiment_id: str, *, charts: bool = False) -> str:
    """The link that opens an experiment's view; an empty address gives a link for use within MLflow's own pages."""
    mode = "&compareRunsMode=CHART" if charts else ""
    page = f"#/experiments/{experiment_id}/runs?viewStateShareKey={KEY}&workflowType=machine_learning{mode}"
    return f"{address.rstrip('/')}/{page}" if address else page


def nights_note(ticker: str, experiment_id: str, overview_id: str) -> str:
    links = f"{_links(experiment_id)} · [all tickers]({view_url('', overview_id)})"
    return note(f"{ticker}: one run per night, newest session first. {links}", NIGHTS)


def study_note(about: str, glossary: Mapping[str, tuple[str, str]], experiment_id: str) -> str:
    """The note above trials, tutorial trainings or base networks; the page shows its first line unasked."""
    return note(f"{about} {_links(experiment_id)}", glossary)


def record_note(page: str, experiment_id: str) -> str:
    """The note above all tickers: as much of `page` as MLflow has room for, then what the metrics are."""
    links = f"{_links(experiment_id, 'track records')}: one run per ticker, one step per session (YYYYMMDD)"
    lines = _fitting(page.splitlines(), MAX_TAG_LENGTH - len(note(links, RECORD)) - 100)
    return "\n".join([*lines, "", note(links, RECORD)])


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


def _links(experiment_id: str, charts: str = "charts") -> str:
    return f"[Table]({view_url('', experiment_id)}) · [{charts}]({view_url('', experiment_id, charts=True)})"


def note(opening: str, glossary: Mapping[str, tuple[str, str]]) -> str:
    """The text above an experiment's runs: `opening`, then what each metric is."""
    rows = [f"| {name} | {unit} | {meaning} |" for name, (unit, meaning) in glossary.items()]
    return "\n".join([opening, "", GLOSSARY, "|---|---|---|", *rows])


def _chart(metric: str, kind: str, *more: str) -> dict[str, Any]:
    """A chart in the page's own format; not marked as generated, so that the page keeps it.  more: in a LINE's."""
    lines = {"selectedMetricKeys": [metric, *more], "scaleType": "linear"}
    card = {"uuid": metric, "type": kind, "metricKey": metric, "metricSectionId": "chosen", "runsCountToCompare": 10}
    line_settings = {"useGlobalXaxisKey": True, "useGlobalLineSmoothing": True, **lines} if kind == "LINE" else {}
    return {**card, "deleted": False, "isGenerated": False, **line_settings}


def _view(
    order: str, columns: list[str], charts: list[dict[str, Any]], *, ascending: bool, axis: str, others: Sequence[str]
) -> str:
    """The view's state as the page writes it; all sections but the chosen one are folded."""
    column_names = [_quoted(column) for column in columns]
    sections = [_section("chosen", "what counts", shown=True), *(_section(name, name, shown=False) for name in others)]
    state = {
        "orderByKey": _quoted(order),
        "orderByAsc": ascending,
        "selectedColumns": column_names,
        "columnOrder": column_names,
        "columnWidths": {name: WIDTHS.get(name, 6 * len(name) - 20) for name in column_names},
        "compareRunCharts": charts,
        "compareRunSections": sections,
        "isAccordionReordered": True,
        "globalLineChartConfig": {"xAxisKey": axis, "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }
    return json.dumps(state, separators=(",", ":"))


def _section(uuid: str, name: str, *, shown: bool) -> dict[str, Any]:
    flags = {"display": shown, "isReordered": True, "deleted": False, "isGenerated": not shown}
    return {"uuid": uuid, "name": name, **flags}


def _quoted(column: str) -> str:
    kind, _, name = column.partition(".")
    return f"{kind}.`{name}`"
