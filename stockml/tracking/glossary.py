"""The text above MLflow's runs: what each metric is, and its unit. Plain data; imports no
mlflow."""

from stockml.errors import quantity
from stockml.tracking.views import view_url

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
