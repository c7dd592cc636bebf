"""A night in words: short text for the terminal, Markdown for Prefect and MLflow, one JSON object
for scripts."""

import os
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from stockml.errors import quantity
from stockml.evaluation.distribution_scores import CrpsComparison
from stockml.evaluation.path_scores import CHAMPION
from stockml.features.volatility import RANGE_SESSIONS
from stockml.forecasts.forecast import Age, Forecast
from stockml.forecasts.ledger_scores import first_known, with_independent
from stockml.forecasts.outlook import SPANS
from stockml.forecasts.proper_scores import is_clear, p_text
from stockml.models.regressions import RIDGE
from stockml.models.trained_model import FINE_TUNED
from stockml.nights import tables
from stockml.nights.card import Card
from stockml.nights.record import Night, model_name
from stockml.redaction import escape_markdown

AS_THEY_ARE = (  # fields that `--json` prints unchanged, in its order
    *(
        "ticker",
        "session",
        "status",
        "reason",
        "rows_added",
        "rows_restated",
        "data_notes",
        "data_hash",
        "config_hash",
    ),
    *("code_hash", "mode", "mlflow_run_id", "model_version"),
)


def text(night: Night, age: Age | None = None, *, details: bool = False) -> str:
    """The night for the terminal: its card and, with `details`, its scores in lines of at most 100
    columns.

    age: of its forecast, now.
    """
    if night.forecast is None:
        return f"{night.ticker} {night.session} {night.status}: {night.reason}"
    lines = [Card.of(night.ticker, night.forecast, night, age).text()]
    if not details:
        pages = "" if night.mlflow_run_url else f"; pages: {_up()}"
        lines += [
            *_labelled("data", "; ".join(night.data_notes)),
            *_labelled("history", _short_history(night)),
        ]
        return "\n".join([*lines, f"(scores: --details{pages})"])
    lines += ["", *(line for fact in _facts(night) for line in _labelled(*fact))]
    for table in (
        tables.outlook(night.forecast, night),
        tables.paths(night),
        tables.distributions(night),
    ):
        lines += table.lines()
    return "\n".join([*lines, "", *_where(night)])


def markdown(night: Night, *, age: Age | None = None, pictures: Sequence[str] = ()) -> str:
    """The night as Markdown: its card and pictures, then its scores, then where everything lies."""
    if night.forecast is None:
        return escape_markdown(text(night))
    facts = [f"- {label}: {value}" for label, value in _facts(night) if value]
    hashes = (night.data_hash, night.config_hash, night.code_hash)
    data, config, code = (each[:8] for each in hashes)
    facts.append(f"- key: `{night.key[:16]}` (data `{data}`, config `{config}`, code `{code}`)")
    shown = (tables.paths, tables.distributions, tables.past_outlooks)
    all_tables = [tables.outlook(night.forecast, night), *(table(night) for table in shown)]
    scores = ["### Scores", "\n".join(facts), *(table.markdown() for table in all_tables)]
    card = Card.of(night.ticker, night.forecast, night, age).markdown()
    parts = [
        card,
        *pictures,
        escape_markdown("\n\n".join(filter(None, scores))),
        "\n".join(_links(night)),
    ]
    return "\n\n".join(filter(None, parts))


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
    return asdict(forecast) | {
        "origin": str(forecast.origin),
        "sessions": [str(day) for day in forecast.sessions],
    }


def message(night: Night, age: Age | None = None) -> str:
    """The run's state message: the card's headline, the decision, and what was trained."""
    if night.forecast is None:
        return f"{night.status}: {night.reason}"
    decision = ", promoted" if night.verdict and night.verdict.promoted else ""
    return f"{Card.of(night.ticker, night.forecast, night, age).headline}; {night.mode}{decision}"


def _facts(night: Night) -> list[tuple[str, str]]:
    """What was done, and what each part is worth; empty where nothing is known."""
    return [
        ("bars", _bars(night)),
        *(("data", note) for note in night.data_notes),
        ("model", f"{night.mode}: {night.reason}"),
        ("history", _short_history(night)),
        ("published", _published(night)),
        ("network adds", "; ".join(filter(None, (_path_adds(night), _adds(night.network_adds))))),
        (
            "no network",
            "; ".join(night.distributions.reasons.values()) if night.distributions else "",
        ),
        ("training adds", _adds(night.training_adds)),
        ("over regression", _adds(night.over_regression)),
        ("decision", _decision(night)),
        ("chance of a rise", tables.rise(night, night.forecast) if night.forecast else ""),
        ("so far", _live(night)),
    ]


def _decision(night: Night) -> str:
    if night.verdict is None:
        return ""
    return f"{'promoted' if night.verdict.promoted else 'not promoted'}: {night.verdict.reason}"


def _median(night: Night) -> str:
    """What the median is made of; in earlier versions (without an outlook), there is no rise."""
    forecast = night.forecast
    has_drift = forecast and (forecast.outlook or 1 < len(forecast.path) < SPANS[0])
    return "last close and half the usual rise" if has_drift else "last close"


def _adds(comparison: CrpsComparison | None) -> str:
    """A CRPS gain, with its interval and p-value; empty where it was not measured."""
    if comparison is None:
        return ""
    interval = (
        f" ({comparison.interval.low:+z.2%} to {comparison.interval.high:+z.2%})"
        if comparison.interval
        else ""
    )
    return f"{comparison.skill:+z.2%} of CRPS{interval}, {_significance(comparison.p_value)}"


def _path_adds(night: Night) -> str:
    """The skill that a network's path gains over the same procedure without it, as `_adds` has
    it."""
    comparison = night.path_adds
    if not comparison or comparison.skill_difference is None:
        return ""
    interval = (
        f" ({comparison.interval.low:+.3f} to {comparison.interval.high:+.3f})"
        if comparison.interval
        else ""
    )
    return (
        f"{comparison.skill_difference:+.3f} of the path's skill{interval}, "
        f"{_significance(comparison.p_value)}"
    )


def _significance(p_value: float | None) -> str:
    if p_value is None:
        return "too few origins to test"
    p = f"p {p_text(p_value)}"
    return p if is_clear(p_value) else f"could be luck ({p})"


def _labelled(label: str, value: str) -> list[str]:
    """`label` and `value` on lines of at most 100 columns; none for an empty value. An address is
    never broken."""
    lines = textwrap.wrap(value, 100 - 18, break_long_words=False, break_on_hyphens=False)
    return [
        f"{name:<17} {line}" for name, line in zip([label, *[""] * len(lines)], lines, strict=False)
    ]


def _bars(night: Night) -> str:
    if not night.sessions:  # a skipped night looked at none
        return ""
    restated = f", {night.rows_restated} restated" if night.rows_restated else ""
    return f"{night.rows_added:,} added{restated}, {night.sessions:,} sessions in all"


def _published(night: Night) -> str:
    """What the published path and width are made of, each credited to its source."""
    forecast = night.forecast
    if forecast is None:
        return ""
    if night.publishes_a_path:
        return "the network's path" + (", with the regression's width" if forecast.outlook else "")
    whose, why = forecast.width_by or "network and the regression", ""
    if night.publisher == CHAMPION:
        why = ", as the champion stays"
    elif whose == FINE_TUNED:
        why = ", as training helped on the validation part"
    elif whose == RIDGE and night.network_adds:
        why = ", as the network did worse"
    return f"median: {_median(night)}; width: the {whose}'s{why}"


def _live(night: Night) -> str:
    """How the live forecasts turned out, and how many there are; empty before one is complete."""
    figures = night.metrics
    matured, steps, independent = (
        figures.get(f"live/{name}") for name in ("matured", "steps", "independent")
    )
    if not matured:
        return ""
    skill, coverage = first_known(figures, "skill"), first_known(figures, "coverage_80")
    complete = f"{quantity(int(matured), 'live forecast')} complete" + (
        f", {steps:,.0f} steps" if steps else ""
    )
    parts = [f"skill {skill:+.3f}"] if skill is not None else []
    parts += [f"{coverage:.0%} inside the 80% band"] if coverage is not None else []
    scores = ", ".join(parts)  # a record of an earlier version lacks the number of independent ones
    return (
        f"{complete}: "
        f"{scores if independent is None else with_independent(scores, int(independent))}"
    )


def _up() -> str:
    return "make up" if "MAKELEVEL" in os.environ else "stockml up"


def _where(night: Night) -> list[str]:
    version = (
        f", {model_name(night.ticker)} version {night.model_version}" if night.model_version else ""
    )
    run = f"{night.run_name} ({night.mlflow_run_id}){version}" if night.mlflow_run_id else ""
    facts = [
        ("MLflow run", run),
        ("", night.mlflow_run_url),
        ("all its nights", night.mlflow_nights_url),
    ]
    facts += [("plots", night.plots_folder), ("pages", None if night.mlflow_run_url else _up())]
    return [line for label, value in facts for line in _labelled(label, value or "")]


def _short_history(night: Night) -> str:
    """For which of the width's volatilities the history is too short; empty if for none."""
    unknown = [f"{sessions:,}" for sessions in RANGE_SESSIONS if night.sessions < sessions]
    if not unknown:
        return ""
    return (
        f"too short for the volatility of {' and '.join(unknown)} sessions, for which the mean of "
        "many tickers stands: bring history with `stockml import`"
    )


def _links(night: Night) -> list[str]:
    links = {
        "MLflow run": night.mlflow_run_url,
        f"All nights of {night.ticker} in MLflow": night.mlflow_nights_url,
        "Prefect flow run": night.flow_run_url,
    }
    return [
        f"- [{escape_markdown(name)}]({escape_markdown(url)})" for name, url in links.items() if url
    ]
