"""A night's tables, for the terminal and as Markdown: the paths, the distributions by CRPS, how far it may go."""

import itertools
import textwrap

from stockml.evaluation.distribution_scores import CrpsComparison
from stockml.evaluation.distribution_table import row_of
from stockml.evaluation.evaluate import CHAMPION, LAST_CLOSE, LSTM, PUBLISHED, TREND_PRIOR, WITHOUT_NETWORK
from stockml.evaluation.metrics import Score
from stockml.evaluation.simple_distributions import POOLED
from stockml.forecasts.forecast import Forecast
from stockml.forecasts.outlook import Outlook
from stockml.models.baselines import LAST_MID
from stockml.nights.record import Night

FIRST = (LAST_CLOSE, LAST_MID, "last value")
LAST = (TREND_PRIOR, LSTM, CHAMPION, WITHOUT_NETWORK, PUBLISHED)
DISTRIBUTIONS = {  # the rows that are more than their name says
    LSTM: "tonight's network",
    CHAMPION: "champion",
    WITHOUT_NETWORK: "the same without network",
}


def candidates(night: Night) -> list[tuple[str, Score]]:
    """The last close first, by which all are measured, then the averages, the prior, the networks, the published."""
    scores = night.evaluation.scores if night.evaluation else {}
    between = sorted(name for name in scores if name not in (*FIRST, *LAST))
    order = [name for name in (*FIRST, *between, *LAST) if name in scores]
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


def _direction(night: Night) -> str:
    """The column's name, with how often the price rose: a share that says little by itself."""
    rate = base_rate(night)
    return "direction" if rate is None else f"direction (rose {rate:.0%})"


def base_rate(night: Night) -> float | None:
    return next((score.direction.base_rate for _, score in candidates(night)), None)


def rise(night: Night | None, chance: float, step: int) -> str:
    """With how often it rose on the test part, and how good such chances were: a chance says little without that.

    night: the forecast's own, None where its record is gone.  chance: 0 to 1, at this step.
    """
    said = f"{chance:.0%} that the price is higher in {step} sessions"
    if night is None or night.evaluation is None or (rate := base_rate(night)) is None:
        return said
    said += f"; it was from {rate:.0%} of {night.evaluation.origins:,} origins"
    published = night.score(PUBLISHED)
    if published is None or published.direction.brier is None:
        return said
    return f"{said} (Brier score {published.direction.brier:.3f}, of that share for all {rate * (1 - rate):.3f})"


def _origins(night: Night) -> str:
    """How many, the same for every row."""
    return f"{night.evaluation.origins:,} origins" if night.evaluation else "no origins"


def path_lines(night: Night) -> list[str]:
    rows = [(f"path, {_origins(night)}", "MSE", "skill", "RMSE", _direction(night))]
    rows += [(name, *_cells(score)) for name, score in candidates(night)]
    return [f"{name:<18} {mse:>10} {skill:>8} {rmse:>9} {direction:>20}" for name, mse, skill, rmse, direction in rows]


def path_markdown(night: Night) -> str:
    rows = [f"| path, {_origins(night)} | MSE | skill | RMSE | {_direction(night)} |", "|---|--:|--:|--:|--:|"]
    rows += [f"| {name} | {' | '.join(_cells(score))} |" for name, score in candidates(night)]
    return _padded(rows)


def _padded(rows: list[str]) -> str:
    return "\n".join(rows).replace(" | ", "&emsp;| ")  # MLflow's page gives table cells no padding


HEAD = ("CRPS, %", f"vs {POOLED}", "width alone", "inside 50 80 95%")


def _distribution_rows(night: Night) -> list[tuple[str, ...]]:
    """The heading, with the number of origins, then every row by its whole distribution: CRPS, its skill over the
    strongest simple one, of the width alone, cover; empty where there is none."""
    table = night.distributions
    if table is None or not table.scores:
        return []
    origins = next(iter(table.scores.values())).origins

    def skill(found: CrpsComparison | None) -> str:
        return "–" if found is None else f"{found.skill:+.2%}"

    ordered = [name for name in table.scores if name not in LAST] + [name for name in LAST if name in table.scores]
    rows = [
        (
            DISTRIBUTIONS.get(name, name) + (", published" if name == row_of(night.publisher) else ""),
            f"{100 * table.scores[name].crps:.4f}",
            skill(table.whole.get(name)),
            skill(table.widths.get(name)),
            " ".join(f"{table.scores[name].coverage[level]:.0%}" for level in ("50", "80", "95")),
        )
        for name in ordered
    ]
    return [(f"distribution, {origins:,} origins", *HEAD), *rows]


def distribution_lines(night: Night) -> list[str]:
    rows = _distribution_rows(night)
    if not rows:
        return []
    lines = [f"{name:<36} {crps:>7} {whole:>20} {width:>12} {held:>17}" for name, crps, whole, width, held in rows]
    reasons = night.distributions.reasons if night.distributions else {}
    told = [textwrap.wrap(f"{name}: {why}", 100, subsequent_indent="  ") for name, why in reasons.items()]
    return ["", *lines, *itertools.chain(*told)]


def distribution_markdown(night: Night) -> str:
    rows = _distribution_rows(night)
    if not rows or night.distributions is None:
        return ""
    head, *listed = (f"| {' | '.join(row)} |" for row in rows)
    table = _padded([head, "|---|--:|--:|--:|--:|", *listed])
    reasons = [f"- {name}: {why}" for name, why in night.distributions.reasons.items()]
    return "\n\n".join([table, *(["\n".join(reasons)] if reasons else [])])


def _outlook_rows(forecast: Forecast) -> list[tuple[str, ...]]:
    """How far the price may go, by number of sessions."""

    def usual(each: Outlook) -> str:
        return each.place + (" of {:.0%} to {:.0%}".format(*each.usual) if each.usual else "")

    return [
        (
            f"{each.sessions} sessions",
            f"{each.volatility:.1%}",
            usual(each),
            *(f"{chance:.0%}" for chance in (each.rise, *each.beyond)),
        )
        for each in forecast.outlook
    ]


OUTLOOK = ("volatility", "a year", "beside the past", "rise", "beyond ±5%", "beyond ±10%")


def outlook_lines(forecast: Forecast) -> list[str]:
    rows = _outlook_rows(forecast)
    shape = "{:<12} {:>6}  {:<51} {:>4} {:>10} {:>11}"
    return ["", *(shape.format(*row) for row in (OUTLOOK, *rows)), ""] if rows else []


def outlook_markdown(forecast: Forecast) -> str:
    rows = [f"| {' | '.join(row)} |" for row in (OUTLOOK, *_outlook_rows(forecast))]
    return _padded([rows[0], "|---|--:|---|--:|--:|--:|", *rows[1:]]) if forecast.outlook else ""
