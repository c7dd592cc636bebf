"""A night in words: short text for the terminal, Markdown for Prefect and MLflow, one JSON object for scripts."""

import os
import textwrap
from dataclasses import asdict
from typing import Any

from stockml.errors import quantity
from stockml.evaluation.distribution_scores import CrpsComparison
from stockml.evaluation.path_scores import CHAMPION, LAST_CLOSE, PUBLISHED
from stockml.evaluation.significance import is_clear, p_text
from stockml.features.volatility import RANGE_SESSIONS
from stockml.forecasts.forecast import Age, Forecast, price_text
from stockml.forecasts.ledger_scores import first_known, with_independent
from stockml.forecasts.outlook import SPANS
from stockml.models.pooled_regression import EWMA_60, POOLED
from stockml.models.ticker_network import FINE_TUNED, PRETRAINED
from stockml.nights import tables
from stockml.nights.record import Night, model_name
from stockml.redaction import escape_markdown

AS_THEY_ARE = (  # fields that `--json` prints unchanged, in its order
    *("ticker", "session", "status", "reason", "rows_added", "rows_restated", "data_notes", "data_hash", "config_hash"),
    *("code_hash", "mode", "mlflow_run_id", "model_version"),
)


def text(night: Night, age: Age | None = None) -> str:
    """The night for the terminal, about twenty lines of at most 100 columns.  age: of its forecast, now."""
    first, *rest = _heading(night)
    heading = [f"{night.ticker} · session {night.session} · {first}", *rest]
    lines = [line for sentence in heading for line in textwrap.wrap(sentence, 100, subsequent_indent="  ")] + [""]
    lines += _labelled("bars", _bars(night))
    lines += [line for note in night.data_notes for line in _labelled("data", note)]
    if night.status != "completed":
        return "\n".join([*lines, *_labelled(night.status, night.reason)])
    lines += _labelled("model", _trained(night))
    lines += [*_labelled("history", _short_history(night)), *tables.paths(night).lines()]
    lines += [f"{'network adds':<18} {adds}"] if (adds := _path_adds(night)) else []
    lines += [*tables.distributions(night).lines(), ""]
    if night.verdict:
        lines += _labelled("promoted" if night.verdict.promoted else "not promoted", night.verdict.reason)
    if night.forecast:
        lines += _labelled("forecast", _end_point(night.forecast))
        lines += _labelled("", str(age or ""))
        lines += _labelled("chance of a rise", tables.rise(night, night.forecast))
        lines += _labelled("published", _published(night, night.forecast))
    lines += _labelled("so far", _live(night))
    lines += [*table, ""] if night.forecast and (table := tables.outlook(night.forecast, night).lines()) else []
    lines += _where(night)
    return "\n".join(lines)


def markdown(night: Night, *, heading: bool = True, age: Age | None = None) -> str:
    """The night as Markdown: the verdict and the forecast first, then the tables, then where everything lies."""
    parts = [f"## {night.ticker} · {night.session}"] if heading else []
    parts.append(f"**{headline(night)}**")
    if night.status != "completed":
        return escape_markdown("\n\n".join([*parts, night.reason]))
    if night.verdict:
        parts.append(f"{'Promoted' if night.verdict.promoted else 'Not promoted'}: {night.verdict.reason}.")
    if night.forecast:
        forecast_age = f"; {age}" if age else ""
        parts.append(f"Forecast: {_end_point(night.forecast)}; {tables.rise(night, night.forecast)}{forecast_age}.")
        parts.append(f"Published: {_published(night, night.forecast)}.")
        parts.append(f"So far: {live}." if (live := _live(night)) else "")
        parts.append(tables.outlook(night.forecast, night).markdown())
    parts.append(tables.paths(night).markdown())
    parts.append(f"Network adds to the path: {adds}." if (adds := _path_adds(night)) else "")
    parts += [
        table(night).markdown() for table in (tables.distributions, tables.distributions_by_lead, tables.past_outlooks)
    ]
    facts = escape_markdown("\n\n".join(part for part in [*parts, "\n".join(_markdown_facts(night))] if part))
    return "\n".join([facts, *_links(night)])


def as_json(night: Night) -> dict[str, Any]:
    """The object that `--json` prints; every key is always present."""
    return {
        **{name: getattr(night, name) for name in AS_THEY_ARE},
        "session": night.session.isoformat(),
        "promoted": bool(night.verdict and night.verdict.promoted),
        "metrics": dict(night.metrics),
        "forecast": forecast_json(night.forecast) if night.forecast else None,
        "seconds": round(night.seconds, 3),
    }


def forecast_json(forecast: Forecast) -> dict[str, Any]:
    return asdict(forecast) | {"origin": str(forecast.origin), "sessions": [str(day) for day in forecast.sessions]}


def headline(night: Night) -> str:
    """One line: what is published, and what the network adds to it."""
    return "; ".join(_heading(night))


def message(night: Night) -> str:
    """The run's state message: the headline, the verdict, and what was trained."""
    verdict = night.verdict
    decision = f"; {'promoted' if verdict.promoted else 'not promoted'}: {verdict.reason}" if verdict else ""
    return f"{headline(night)}{decision}; {night.mode}: {night.reason}"


def _heading(night: Night) -> list[str]:
    """What is published, and what the network adds: the wording of every page."""
    published, close = night.score(PUBLISHED), night.score(LAST_CLOSE)
    if published is None or published.skill is None:
        return [night.status, *(["no price moved, so nothing can be scored"] if night.stands_still else [])]
    if close is None:  # a record of the first versions
        return [f"published: skill {published.skill:+.3f} over the last mid price"]
    if not night.by_network:
        has_regression = night.distributions is None or POOLED in night.distributions.scores
        why = f"the network did worse: {_crps_adds(night.network_adds)}"
        if night.distributions and night.network_adds is None:
            why = "no network: " + "; ".join(night.distributions.reasons.values())
        opening = f"published: the {_median(night)}, the {'ridge regression' if has_regression else EWMA_60}'s width"
        return [opening, *_over_regression(night), why]
    if night.publishes_a_path:
        opening = f"published: skill {published.skill:+.3f} over the last close"
        return [opening, f"network adds {adds}"] if (adds := _path_adds(night)) else [opening]
    opening = f"published: the {_median(night)}, width by the {_whose_width(night)}"
    adds = f"network adds {_crps_adds(night.network_adds)}" if night.network_adds else "network adds: not measured"
    training = [f"training adds {_crps_adds(night.training_adds)}"] if night.training_adds else []
    return [opening, *_over_regression(night), adds, *training]


def _median(night: Night) -> str:
    """What the median is made of; in earlier versions (without an outlook), there is no rise."""
    forecast = night.forecast
    has_drift = forecast and (forecast.outlook or 1 < len(forecast.path) < SPANS[0])
    return "last close and half the usual rise" if has_drift else "last close"


def _over_regression(night: Night) -> list[str]:
    if (comparison := night.over_regression) is None:
        return []
    return [f"CRPS skill {comparison.skill:+z.2%} over the pooled regression, {_significance(comparison.p_value)}"]


def _whose_width(night: Night) -> str:
    """`fine-tuned network`, `pretrained network` or, of an earlier version, `network and the regression`."""
    return (night.forecast and night.forecast.width_by) or "network and the regression"


def _crps_adds(comparison: CrpsComparison | None) -> str:
    """A CRPS gain, with its interval and p-value."""
    if comparison is None:
        return "not measured"
    interval = f" ({comparison.interval.low:+z.2%} to {comparison.interval.high:+z.2%})" if comparison.interval else ""
    return f"{comparison.skill:+z.2%} of CRPS{interval}, {_significance(comparison.p_value)}"


def _path_adds(night: Night) -> str:
    """The skill that a network's path gains over the same procedure without it, with its interval and p-value."""
    comparison = night.path_adds
    if not comparison or comparison.skill_difference is None:
        return ""
    interval = f" ({comparison.interval.low:+.3f} to {comparison.interval.high:+.3f})" if comparison.interval else ""
    return f"{comparison.skill_difference:+.3f}{interval}, {_significance(comparison.p_value)}"


def _significance(p_value: float | None) -> str:
    if p_value is None:
        return "too few origins to test"
    p = f"p {p_text(p_value)}"
    return p if is_clear(p_value) else f"within the noise ({p})"


def _labelled(label: str, value: str) -> list[str]:
    """`label` and `value` on lines of at most 100 columns; none for an empty value. An address is never broken."""
    lines = textwrap.wrap(value, 100 - 18, break_long_words=False, break_on_hyphens=False)
    return [f"{name:<17} {line}" for name, line in zip([label, *[""] * len(lines)], lines, strict=False)]


def _bars(night: Night) -> str:
    if not night.sessions:  # a skipped night looked at none
        return ""
    restated = f", {night.rows_restated} restated" if night.rows_restated else ""
    return f"{night.rows_added:,} added{restated}, {night.sessions:,} sessions in all"


def _end_point(forecast: Forecast) -> str:
    """The path's end, beside the newest price."""
    band = forecast.band(80)
    end, low, high, now = map(price_text, (forecast.path[-1], band.low[-1], band.high[-1], forecast.now))
    return (
        f"{end} on {forecast.sessions[-1]}, {quantity(len(forecast.path), 'session')} ahead "
        f"(80%: {low} to {high}; {'now' if forecast.last_close is None else 'close'} {now})"
    )


def _published(night: Night, forecast: Forecast) -> str:
    """What the published path and width are made of, each credited to its source."""
    if night.publishes_a_path:
        return "the network's path, with the regression's width" if forecast.outlook else "the network's path"
    return f"median: {_median(night)}; width: the {_whose_width(night)}'s{_why_width(night)}"


def _why_width(night: Night) -> str:
    """Why that width is published."""
    whose = night.forecast.width_by if night.forecast else None
    if whose is None:
        return ""
    if night.publisher == CHAMPION:
        return ", as the champion stays"
    if whose == FINE_TUNED:
        return ", as training helped on the validation part"
    if whose == PRETRAINED:
        return f"; {night.reason}"
    return f", as {_heading(night)[-1]}"


def _live(night: Night) -> str:
    """How the live forecasts turned out, and how many there are; empty before one is complete."""
    figures = night.metrics
    matured, steps, independent = (figures.get(f"live/{name}") for name in ("matured", "steps", "independent"))
    if not matured:
        return ""
    skill, coverage = first_known(figures, "skill"), first_known(figures, "coverage_80")
    complete = f"{quantity(int(matured), 'live forecast')} complete" + (f", {steps:,.0f} steps" if steps else "")
    parts = [f"skill {skill:+.3f}"] if skill is not None else []
    parts += [f"{coverage:.0%} inside the 80% band"] if coverage is not None else []
    scores = ", ".join(parts)  # a record of an earlier version lacks the number of independent ones
    return f"{complete}: {scores if independent is None else with_independent(scores, int(independent))}"


def _where(night: Night) -> list[str]:
    pages = "make up" if "MAKELEVEL" in os.environ else "stockml up"
    version = f", {model_name(night.ticker)} version {night.model_version}" if night.model_version else ""
    run = f"{night.run_name} ({night.mlflow_run_id}){version}" if night.mlflow_run_id else ""
    facts = [("MLflow run", run), ("", night.mlflow_run_url), ("all its nights", night.mlflow_nights_url)]
    facts += [("plots", night.plots_folder), ("pages", None if night.mlflow_run_url else pages)]
    return [line for label, value in facts for line in _labelled(label, value or "")]


def _trained(night: Night) -> str:
    """How the model was trained and why; of a tutorial night, that its recipe leaks."""
    recipe = "; by the published tutorial's recipe, which leaks: not a model to trade by"
    return f"{night.mode}: {night.reason}" + (recipe if night.settings.get("profile") == "tutorial" else "")


def _short_history(night: Night) -> str:
    """For which of the width's volatilities the history is too short; empty if for none."""
    unknown = [f"{sessions:,}" for sessions in RANGE_SESSIONS if night.sessions < sessions]
    if not unknown:
        return ""
    return f"too short for the volatility of {' and '.join(unknown)} sessions: the mean of many tickers stands for it"


def _links(night: Night) -> list[str]:
    links = {
        "MLflow run": night.mlflow_run_url,
        f"All nights of {night.ticker} in MLflow": night.mlflow_nights_url,
        "Prefect flow run": night.flow_run_url,
    }
    return [f"- [{escape_markdown(name)}]({escape_markdown(url)})" for name, url in links.items() if url]


def _markdown_facts(night: Night) -> list[str]:
    return [
        f"- bars: {_bars(night)}",
        *([f"- history: {short}"] if (short := _short_history(night)) else []),
        *(f"- data: {note}" for note in night.data_notes),
        f"- {_trained(night)}",
        f"- key `{night.key[:16]}` (data `{night.data_hash[:8]}`, config `{night.config_hash[:8]}`, "
        f"code `{night.code_hash[:8]}`)",
    ]
