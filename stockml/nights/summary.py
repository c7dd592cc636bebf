"""A night in words: short text for the terminal, Markdown for Prefect and MLflow, one JSON object for scripts."""

import textwrap
from dataclasses import asdict
from typing import Any

from stockml.evaluation.distribution_table import BLEND
from stockml.evaluation.evaluate import LAST_CLOSE, PUBLISHED, WITHOUT_NETWORK
from stockml.evaluation.metrics import Comparison
from stockml.evaluation.promotion_gate import publishes
from stockml.evaluation.simple_distributions import POOLED
from stockml.forecasts.age import Age
from stockml.forecasts.forecast import Forecast
from stockml.nights.record import Night
from stockml.nights.tables import base_rate, distribution_lines, distribution_markdown, path_lines, path_markdown

NOISE = 0.05  # a difference that luck explains more often than this is called noise
PAGES = "make up"


def text(night: Night, age: Age | None = None) -> str:
    """The night for the terminal, about twenty lines of at most 100 columns.  age: of its forecast, now."""
    first, *rest = _heading(night)
    lines = [f"{night.ticker} · session {night.session} · {first}", *rest, ""]
    lines += _row("bars", _bars(night))
    lines += [line for note in night.data_notes for line in _row("data", note)]
    if night.status != "completed":
        return "\n".join([*lines, *_row(night.status, night.reason)])
    lines += _row("model", f"{night.mode}: {night.reason}")
    lines += ["", *path_lines(night), *_adds(night), *distribution_lines(night), ""]
    if night.verdict:
        lines += _row("promoted" if night.verdict.promoted else "not promoted", night.verdict.reason)
    if night.forecast:
        lines += _row("forecast", _end_point(night.forecast))
        lines += _row("", str(age)) if age else []
        lines += _row("chance of a rise", _rise(night, night.forecast))
        lines += _row("published", _published(night))
    lines += _live(night)
    lines += _where(night)
    return "\n".join(lines)


def markdown(night: Night, *, heading: bool = True, age: Age | None = None) -> str:
    """The night as Markdown: the verdict first, then the table, then where everything lies."""
    parts = [f"## {night.ticker} · {night.session}"] if heading else []
    parts.append(f"**{headline(night)}**")
    if night.status != "completed":
        return "\n\n".join([*parts, night.reason])
    if night.verdict:
        parts.append(f"{'Promoted' if night.verdict.promoted else 'Not promoted'}: {night.verdict.reason}.")
    parts += [path_markdown(night), *_adds_markdown(night), distribution_markdown(night)]
    if night.forecast:
        said = _published(night)
        made = f"; {age}" if age else ""
        parts.append(f"Forecast: {_end_point(night.forecast)}; {_rise(night, night.forecast)}{made}.")
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
        "data_notes": list(night.data_notes),
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


def headline(night: Night) -> str:
    """What is published, and what of it is the network's, in one line."""
    return "; ".join(_heading(night))


def message(night: Night) -> str:
    """The state message of its run: the headline, the verdict, and what was trained."""
    verdict = night.verdict
    judged = f"; {'promoted' if verdict.promoted else 'not promoted'}: {verdict.reason}" if verdict else ""
    return f"{headline(night)}{judged}; {night.mode}: {night.reason}"


def _heading(night: Night) -> list[str]:
    """What is published, and what of it is the network's: the one statement of a night."""
    found = night.score(PUBLISHED)
    if night.status != "completed" or found is None or found.skill is None:
        return [night.status]
    if night.publisher == POOLED:
        return [f"published: the last close and the {POOLED}'s width", "the network's distribution is worse"]
    if night.publisher == BLEND:
        return ["published: the last close, width by base network and regression", _base_adds(night)]
    if night.score(LAST_CLOSE) is None:
        return [f"published: skill {found.skill:+.3f} over the last mid price"]
    said = f"published: skill {found.skill:+.3f} over the last close"
    return [said, f"network adds {adds}"] if (adds := _network_adds(night)) else [said]


def _base_adds(night: Night) -> str:
    """What the base network adds to the width that the regression has by itself, with its noise."""
    found = night.distributions.widths.get(BLEND) if night.distributions else None
    if found is None:
        return "not measured"
    return f"network adds {found.skill:+.2%} to the width's CRPS, {_luck(found.test.p_value if found.test else None)}"


def _network_adds(night: Night) -> str:
    """The skill of what is published over the very same procedure without the network, with its noise."""
    found = night.evaluation and night.evaluation.comparison(PUBLISHED, WITHOUT_NETWORK)
    return _difference(found) if found else ""


def _difference(found: Comparison) -> str:
    if found.skill_difference is None:
        return ""
    inside = f" ({found.interval.low:+.3f} to {found.interval.high:+.3f})" if found.interval else ""
    return f"{found.skill_difference:+.3f}{inside}, {_luck(found.test.p_value if found.test else None)}"


def _luck(p_value: float | None) -> str:
    if p_value is None:
        return "too few origins to test"
    return f"p {p_value:.2f}" if p_value < NOISE else f"within the noise (p {p_value:.2f})"


def _row(label: str, value: str) -> list[str]:
    """As many lines of at most 100 columns as it takes; an address is never broken."""
    lines = textwrap.wrap(value, 100 - 18, break_long_words=False, break_on_hyphens=False)
    return [f"{name:<17} {line}" for name, line in zip([label, *[""] * len(lines)], lines, strict=False)]


def _bars(night: Night) -> str:
    restated = f", {night.rows_restated} restated" if night.rows_restated else ""
    return f"{night.rows_added} added{restated}, {night.sessions:,} sessions in all"


def _adds(night: Night) -> list[str]:
    return [f"{'network adds':<18} {adds}"] if (adds := _network_adds(night)) else []


def _adds_markdown(night: Night) -> list[str]:
    return [f"Network adds: {adds}."] if (adds := _network_adds(night)) else []


def _end_point(forecast: Forecast) -> str:
    band = forecast.band(80)
    return (
        f"{forecast.path[-1]:.2f} on {forecast.sessions[-1]}, {len(forecast.path)} sessions ahead "
        f"(80%: {band.low[-1]:.2f} to {band.high[-1]:.2f}; {_now(forecast)})"
    )


def _now(forecast: Forecast) -> str:
    """The close, which anyone can look up; the mid price is what is modelled."""
    mid = f"mid price {forecast.last_value:.2f}"
    return f"now {mid}" if forecast.last_close is None else f"close {forecast.last_close:.2f}, {mid}"


def _published(night: Night) -> str:
    """What the path is made of, and the skill that says so."""
    assert night.forecast is not None
    if night.publisher == POOLED:
        return f"the last close, with the {POOLED}'s quantiles"
    if night.publisher == BLEND:
        return f"the last close, with the mean width of base network and {POOLED}"
    skill = night.verdict.numbers.get("validated_skill") if night.verdict else None
    made_of = publishes(night.forecast.weights)
    if skill is None:
        return made_of
    over = "" if night.score(LAST_CLOSE) is None else " over the last close"
    return f"{made_of} (the model's own path: skill {skill:+.3f}{over} on unseen sessions)"


def _rise(night: Night, forecast: Forecast) -> str:
    """With how often it rose on the test part: a chance says little without that."""
    chance = f"{forecast.probability_of_rise:.0%} that the price is higher in {forecast.direction_step} sessions"
    rate = base_rate(night)
    return chance if rate is None else f"{chance}; it was from {rate:.0%} of the origins"


def _live(night: Night) -> list[str]:
    matured = int(night.metrics.get("live/matured", 0))
    if not matured:
        return []
    skill, coverage = night.metrics.get("live/skill"), night.metrics.get("live/coverage_80")
    parts = [f"{matured} forecasts came due"]
    parts += [f"live skill {skill:+.3f}"] if skill is not None else []
    parts += [f"{coverage:.0%} inside the 80% band"] if coverage is not None else []
    return _row("so far", ", ".join(parts))


def _where(night: Night) -> list[str]:
    lines: list[str] = []
    if night.mlflow_run_id:
        version = f", {night.model_name} version {night.model_version}" if night.model_version else ""
        lines += _row("MLflow run", f"{night.run_name} ({night.mlflow_run_id}){version}")
    if night.mlflow_run_url:
        lines += _row("", night.mlflow_run_url)
    if night.mlflow_nights_url:
        lines += _row("all its nights", night.mlflow_nights_url)
    if night.plots_folder:
        lines += _row("plots", night.plots_folder)
    return [*lines, *_row("pages", PAGES)]


def _markdown_facts(night: Night) -> list[str]:
    facts = [
        f"- bars: {_bars(night)}",
        *(f"- data: {note}" for note in night.data_notes),
        f"- {night.mode}: {night.reason}",
        f"- key `{night.key[:16]}` (data `{night.data_hash[:8]}`, config `{night.config_hash[:8]}`, "
        f"code `{night.code_hash[:8]}`)",
    ]
    if night.mlflow_run_url:
        facts.append(f"- [MLflow run]({night.mlflow_run_url})")
    if night.mlflow_nights_url:
        facts.append(f"- [All nights of {night.ticker} in MLflow]({night.mlflow_nights_url})")
    if night.flow_run_url:
        facts.append(f"- [Prefect flow run]({night.flow_run_url})")
    return facts
