"""What MLflow's pages say of their metrics: name, unit and meaning, above the runs. Plain data; imports no mlflow."""

from collections.abc import Mapping

from stockml.errors import quantity
from stockml.tracking.views import view_url

HEADING = "| metric | unit | meaning |"  # by this line a note is known to be ours
MAX_TAG_LENGTH = 20_000  # characters that MLflow keeps of an experiment's tag
PCT = "%"
NIGHTS = {  # metric → unit, meaning
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
    "answer/over_champion_pct": (PCT, "CRPS saved against the champion, same origins; for a path, skill difference"),
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
    return "\n".join([opening, "", HEADING, "|---|---|---|", *rows])
