"""What a night's run holds in MLflow: names and values as plain data. Makes no request, imports no
mlflow."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stockml.evaluation.distribution_scores import row_of
from stockml.evaluation.path_scores import CHAMPION, LAST_CLOSE, LSTM, PUBLISHED
from stockml.forecasts.ledger_scores import first_known
from stockml.nights import summary
from stockml.nights.record import Night
from stockml.prices.bars import COLUMNS
from stockml.redaction import escape_markdown
from stockml.settings import PROFILES, acts_in
from stockml.storage.receipts import as_text
from stockml.tracking.views import view_url

if TYPE_CHECKING:
    from stockml.evaluation.assessment import Assessment

ANSWERS = {  # metric → number of the verdict
    "network_adds_crps_pct": "network_adds_crps",
    "training_adds_crps_pct": "training_adds_crps",
    "pretrained_width_crps_skill_pct": "pretrained_crps_skill",
    "published_beats_last_close_pct": "published_skill",
    "network_adds_pct": "network_adds",  # of the path; the name is the first versions'
    "crps_skill_pct": "crps_skill",  # of tonight's network, whichever is published
    "width_crps_skill_pct": "crps_skill_of_the_width",
    "lstm_beats_last_close_pct": "challenger_skill",
}
SHOWN = {  # MLflow's metric → the night's number
    "band80": "answer/coverage_80_pct",
    "live_skill": "answer/live_beats_last_close_pct",
    "network_adds": "answer/network_adds_crps_pct",
    "skill": "answer/published_beats_last_close_pct",
    "training_adds": "answer/training_adds_crps_pct",
    "vol_20": "answer/volatility_20_pct",
    "width": "answer/width_against_usual_pct",
}
ERRORS = {  # MLflow's metric → the forecast whose error it is
    "rmse_average": "standard average",
    "rmse_close": LAST_CLOSE,
    "rmse_ema": "EMA",
    "rmse_path": PUBLISHED,
}
CURVES = ("loss", "validation_loss")  # the second of the tutorial's training alone
RANGE_LEAD = 20  # sessions

Point = tuple[str, float, int, int]  # name, value, milliseconds since 1970, step

PLOTS_SHOWN = ("forecast", "leads", "ledger")
HASHES = ("data_hash", "config_hash", "code_hash")
SOURCE = {
    "mlflow.user": "stockml",
    "mlflow.source.name": "flows/nightly.py",
    "mlflow.source.type": "JOB",
}
WITH_ALL_FIGURES = ("lstm", "champion", "published", "without_network")  # the others: MSE and skill


def metrics(
    assessment: "Assessment", live: Mapping[str, float], shares: Mapping[str, float | None]
) -> dict[str, float]:
    """The night's figures under the same names every night; undefined ones are left out.

    `answer/…`, in percent, is what a person wants to know in the morning; the figures as measured
    follow. `live`: the ledger's scores, `live/skill` and so on.  shares: more of the answers, by
    name without `_pct`.
    """
    answers = _answers(assessment, live) | {f"{name}_pct": share for name, share in shares.items()}
    night_metrics = {
        "answer/" + name: 100 * value for name, value in answers.items() if value is not None
    }
    for name, figures in assessment.evaluation.metrics().items():
        if name in WITH_ALL_FIGURES:
            night_metrics |= {f"{name}/{figure}": value for figure, value in figures.items()}
        else:
            night_metrics |= {
                f"baselines/{name}_{each}": figures[each]
                for each in ("mse", "skill")
                if each in figures
            }
    table, publisher = assessment.distributions, row_of(assessment.publisher)
    night_metrics["published/origins"] = float(assessment.evaluation.origins)
    if publisher in table.whole:
        by_lead = zip(table.leads, table.whole[publisher].skill_by_lead, strict=True)
        night_metrics |= {f"published/crps_skill_lead_{lead}": skill for lead, skill in by_lead}
    return {**night_metrics, **assessment.band_scores.metrics(), **live}


def _answers(assessment: "Assessment", live: Mapping[str, float]) -> dict[str, float | None]:
    numbers, forecast = assessment.verdict.numbers, assessment.forecast
    champion, over_regression = (
        assessment.evaluation.comparison(LSTM, CHAMPION),
        assessment.distributions.whole,
    )
    published = over_regression.get(row_of(assessment.publisher))
    return {
        **{name: numbers.get(number) for name, number in ANSWERS.items()},
        "over_champion_pct": champion.skill_difference
        if champion
        else numbers.get("crps_against_champion"),
        "published_crps_skill_pct": published.skill if published else None,
        "live_beats_last_close_pct": first_known(live, "skill")
        if live.get("live/matured")
        else None,
        "coverage_80_pct": assessment.band_scores.bands["80"].coverage,
        "forecast_change_pct": forecast.path[-1] / forecast.now - 1,
        "rise_chance_pct": forecast.probability_of_rise,
    } | {f"volatility_{outlook.sessions}_pct": outlook.volatility for outlook in forecast.outlook}


def shown(night: Night) -> dict[str, float | None]:
    """The night's metrics in MLflow, of one value each; None where unknown.

    Its charts sort them, and its "Compare" opens with the first. Prices are split-adjusted.
    """
    figures: dict[str, float | None] = {
        name: round(night.metrics[number], 3)
        for name, number in SHOWN.items()
        if number in night.metrics
    }
    for name, forecast in ERRORS.items():
        score = night.score(forecast)
        figures[name] = score.rmse if score else None
    if night.forecast:
        figures["close"] = night.forecast.now
        band = night.forecast.band(80)
        if len(band.low) >= RANGE_LEAD:
            figures["low_20"] = band.low[RANGE_LEAD - 1]
            figures["high_20"] = band.high[RANGE_LEAD - 1]
    return figures


def scores(night: Night) -> str:
    """The artifact `scores.csv`, a table in MLflow's page: all numbers of the night by name."""
    rows = [f"{name},{value:.6g}" for name, value in sorted(night.metrics.items())]
    return "\n".join(["figure,value", *rows, ""])


def params(night: Night) -> dict[str, str]:
    """What differs between nights, then the settings that are not their profile's.

    MLflow's "Compare" draws the first three in name order that differ between its runs.
    """
    forecast, profile = night.forecast, str(night.settings.get("profile"))
    usual = PROFILES[profile].flat() | {"profile": "nightly", "mode": night.settings.get("mode")}
    changed = {
        name: _text(value)
        for name, value in night.settings.items()
        if acts_in(profile, name) and _text(value) != _text(usual.get(name))
    }
    own = {
        "mode": night.mode,
        "promoted": _promoted(night),
        "session": str(night.session),
        "width_by": (forecast and forecast.width_by) or "",
    }
    return {name: value for name, value in own.items() if value} | changed


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _promoted(night: Night) -> str:
    if night.verdict is None:
        return ""
    return "yes" if night.verdict.promoted else "no"


def tags(night: Night) -> dict[str, str]:
    """The tags by which a night is found and traced."""
    verdict = night.verdict
    values = {
        **{f"stockml.{name}": getattr(night, name) for name in ("key", "ticker", *HASHES)},
        "ticker": night.ticker,
        "reason": night.reason,
        "verdict_reason": verdict.reason if verdict else "",
        "mlflow.source.git.commit": night.git_commit or "",
        "git_dirty": "no" if night.git_diff is None else f"yes, diff {night.git_diff[:16]}",
        "prefect_flow_run": night.flow_run_url or "",
        **SOURCE,
    }
    return {name: value for name, value in values.items() if value}


def description(night: Night, experiment_id: str, run_id: str) -> str:
    """The run page's text: the card, the main plots, the tables, and links to all plots."""
    plots = plot_names(night)
    parts = [
        summary.markdown(
            night, pictures=[image(run_id, name) for name in PLOTS_SHOWN if name in plots]
        )
    ]
    if plots:
        page = f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/plots"
        links = [f"[{name.replace('_', ' ')}]({page}/{name}.png)" for name in plots]
        parts.append("Plots: " + " · ".join(links))
    parts.append(
        f"What each metric is, and its unit: [above the nights]({view_url('', experiment_id)})."
    )
    return "\n\n".join(parts)


def version_note(night: Night) -> str:
    """A model version in words."""
    return escape_markdown(
        f"Made on the night of {night.session} ({night.mode}: {night.reason}) from "
        f"{night.sessions:,} sessions. Bars in (split-adjusted, in the listing's currency), a row "
        "a session ahead out: path and bands in that currency, the chance of a rise as a share."
    )


def points(night: Night, at: int) -> list[Point]:
    return [*metric_points(shown(night), at), *curve_points(night.history, at)]


def metric_points(metrics: Mapping[str, float | None], at: int, step: int = 0) -> list[Point]:
    """The known, finite metrics (one NaN breaks the run page for good), to six digits."""
    known = [(name, value) for name, value in sorted(metrics.items()) if value is not None]
    return [
        (name, float(f"{value:.6g}"), at, step) for name, value in known if math.isfinite(value)
    ]


def curve_points(history: Sequence[Mapping[str, Any]], at: int) -> list[Point]:
    """Losses by step of tonight's training or, of the tutorial's, epoch; of the network that is
    scored."""
    result: list[Point] = []
    for row in history:
        if row["network"] == "held_out":
            step = int(row["epoch"] if "epoch" in row else row["step"])
            result += metric_points({name: row.get(name) for name in CURVES}, at, step)
    return result


def dataset(night: Night) -> dict[str, str]:
    """The series that the model saw, as the fields of MLflow's `Dataset`."""
    columns = {"session": "datetime"} | dict.fromkeys(COLUMNS, "double")
    schema = [{"type": kind, "name": name, "required": True} for name, kind in columns.items()]
    return {
        "name": f"{night.ticker} bars",
        "digest": night.data_hash[:16],
        "source_type": "local",
        "source": json.dumps({"uri": night.dataset_path or ""}),
        "schema": json.dumps({"mlflow_colspec": schema}),
        "profile": json.dumps(
            {"num_rows": night.sessions, "last_session": night.session.isoformat()}
        ),
    }


def night_json(night: Night) -> str:
    bare = replace(
        night, mlflow_run_id=None, mlflow_run_url=None, mlflow_nights_url=None, model_version=None
    )
    return json.dumps(asdict(bare), indent=1, sort_keys=True, default=as_text)


def plot_names(night: Night) -> tuple[str, ...]:
    """The night's drawn figures in name order; none after a clean-up."""
    drawn = Path(night.plots_folder).glob("*.png") if night.plots_folder else ()
    return tuple(sorted(path.stem for path in drawn))


def image(run_id: str, name: str) -> str:
    return f"![{name}](get-artifact?path=plots%2F{name}.png&run_uuid={run_id})"
