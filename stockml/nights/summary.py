"""A night in words: short text for the terminal, Markdown for Prefect and MLflow, one JSON object for scripts."""

from dataclasses import asdict
from typing import Any

from stockml.evaluation.evaluate import CHAMPION, LSTM, PUBLISHED
from stockml.evaluation.metrics import Score
from stockml.evaluation.promotion_gate import publishes
from stockml.forecasts.forecast import Forecast
from stockml.models.baselines import LAST_VALUE
from stockml.nights.record import Night

FIRST = (LSTM, CHAMPION, PUBLISHED, LAST_VALUE)
PAGES = "make up"


def text(night: Night) -> str:
    """The night for the terminal, about twenty lines of at most 100 columns."""
    lines = [f"{night.ticker} · session {night.session} · {_heading(night)}", ""]
    lines += _row("bars", _bars(night))
    if night.status != "completed":
        return "\n".join([*lines, *_row(night.status, night.reason)])
    lines += _row("model", f"{night.mode}: {night.reason}")
    lines += ["", *_table(night), ""]
    if night.verdict:
        lines += _row("promoted" if night.verdict.promoted else "not promoted", night.verdict.reason)
    if night.forecast:
        lines += _row("forecast", _end_point(night.forecast))
        lines += _row("chance of a rise", _rise(night.forecast))
        lines += _row("published", _published(night))
    lines += _live(night)
    lines += _where(night)
    return "\n".join(lines)


def markdown(night: Night, *, heading: bool = True) -> str:
    """The night as Markdown: the verdict first, then the table, then where everything lies."""
    parts = [f"## {night.ticker} · {night.session}"] if heading else []
    parts.append(f"**{_heading(night)}**")
    if night.status != "completed":
        return "\n\n".join([*parts, night.reason])
    if night.verdict:
        parts.append(f"{'Promoted' if night.verdict.promoted else 'Not promoted'}: {night.verdict.reason}.")
    parts.append(_markdown_table(night))
    if night.forecast:
        said = _published(night)
        parts.append(f"Forecast: {_end_point(night.forecast)}; {_rise(night.forecast)}.")
        parts.append(f"**{said[0].upper()}{said[1:]}.**" if night.forecast.no_skill else f"Published: {said}.")
    parts.append("\n".join(_markdown_facts(night)))
    return "\n\n".join(part for part in parts if part)


def as_json(night: Night) -> dict[str, Any]:
    """The object that `--json` prints: these keys, always all of them."""
    return {
        "ticker": night.ticker,
        "session": night.session.isoformat(),
        "status": night.status,
        "reason": night.reason,
        "rows_added": night.rows_added,
        "rows_restated": night.rows_restated,
        "data_hash": night.data_hash,
        "config_hash": night.config_hash,
        "code_hash": night.code_hash,
        "mode": night.mode,
        "mlflow_run_id": night.mlflow_run_id,
        "model_version": night.model_version,
        "promoted": bool(night.verdict and night.verdict.promoted),
        "metrics": dict(night.metrics),
        "forecast": forecast_json(night.forecast) if night.forecast else None,
        "seconds": round(night.seconds, 3),
    }


def forecast_json(forecast: Forecast) -> dict[str, Any]:
    plain = asdict(forecast)
    plain["origin"] = forecast.origin.isoformat()
    plain["sessions"] = [day.isoformat() for day in forecast.sessions]
    return plain


def _heading(night: Night) -> str:
    lstm = night.score(LSTM)
    if night.status != "completed" or lstm is None or lstm.skill is None:
        return night.status
    return f"skill {lstm.skill:+.3f}, {'better' if lstm.skill > 0 else 'no better'} than the last value"


def _row(label: str, value: str) -> list[str]:
    return [f"{label:<17} {value}"]


def _bars(night: Night) -> str:
    restated = f", {night.rows_restated} restated" if night.rows_restated else ""
    return f"{night.rows_added} added{restated}, {night.sessions:,} sessions in all"


def candidates(night: Night) -> list[tuple[str, Score]]:
    """Tonight's model first, the champion, what is published and the last value next, then the other baselines."""
    scores = night.evaluation.scores if night.evaluation else {}
    order = [name for name in FIRST if name in scores] + sorted(name for name in scores if name not in FIRST)
    return [(name, scores[name]) for name in order]


def _cells(score: Score) -> tuple[str, str, str, str]:
    """MSE, skill, RMSE and direction as text; a dash where a figure is not defined."""
    found = (
        (score.mse, "{:.6f}"),
        (score.skill, "{:+.3f}"),
        (score.rmse, "{:.2f}"),
        (score.direction.accuracy, "{:.0%}"),
    )
    mse, skill, rmse, direction = ("–" if value is None else shape.format(value) for value, shape in found)
    return mse, skill, rmse, direction


def _table(night: Night) -> list[str]:
    rows = [("same origins", "MSE", "skill", "RMSE", "direction")]
    rows += [(name, *_cells(score)) for name, score in candidates(night)]
    return [f"{name:<17} {mse:>10} {skill:>8} {rmse:>9} {direction:>10}" for name, mse, skill, rmse, direction in rows]


def _markdown_table(night: Night) -> str:
    rows = ["| on the same origins | MSE | skill | RMSE | direction |", "|---|--:|--:|--:|--:|"]
    rows += [f"| {name} | {' | '.join(_cells(score))} |" for name, score in candidates(night)]
    return "\n".join(rows).replace(" | ", "&emsp;| ")  # MLflow's page gives table cells no padding


def _end_point(forecast: Forecast) -> str:
    band = forecast.band(80)
    return (
        f"{forecast.path[-1]:.2f} on {forecast.sessions[-1]}, {len(forecast.path)} sessions ahead "
        f"(80%: {band.low[-1]:.2f} to {band.high[-1]:.2f}; now {forecast.last_value:.2f})"
    )


def _published(night: Night) -> str:
    """What the path is made of, and the skill that says so."""
    assert night.forecast is not None
    skill = night.verdict.numbers.get("validated_skill") if night.verdict else None
    made_of = publishes(night.forecast.weights)
    return made_of if skill is None else f"{made_of} (skill {skill:+.3f} on unseen sessions)"


def _rise(forecast: Forecast) -> str:
    return f"{forecast.probability_of_rise:.0%} that the price is higher in {forecast.direction_step} sessions"


def _live(night: Night) -> list[str]:
    matured = int(night.metrics.get("live/matured", 0))
    if not matured:
        return []
    skill, coverage = night.metrics.get("live/skill"), night.metrics.get("live/coverage_80")
    parts = [f"{matured} forecasts came due"]
    parts += [f"skill {skill:+.3f}"] if skill is not None else []
    parts += [f"{coverage:.0%} inside the 80% band"] if coverage is not None else []
    return _row("so far", ", ".join(parts))


def _where(night: Night) -> list[str]:
    lines: list[str] = []
    if night.mlflow_run_id:
        version = f", {night.model_name} version {night.model_version}" if night.model_version else ""
        lines += _row("MLflow run", f"{night.run_name} ({night.mlflow_run_id}){version}")
    if night.mlflow_run_url:
        lines += _row("", night.mlflow_run_url)
    if night.plots_folder:
        lines += _row("plots", night.plots_folder)
    return [*lines, *_row("pages", PAGES)]


def _markdown_facts(night: Night) -> list[str]:
    facts = [
        f"- bars: {_bars(night)}",
        f"- {night.mode}: {night.reason}",
        f"- key `{night.key[:16]}` (data `{night.data_hash[:8]}`, config `{night.config_hash[:8]}`, "
        f"code `{night.code_hash[:8]}`)",
    ]
    if night.mlflow_run_url:
        facts.append(f"- [MLflow run]({night.mlflow_run_url})")
    if night.flow_run_url:
        facts.append(f"- [Prefect flow run]({night.flow_run_url})")
    return facts
