"""A night's tables, for the terminal and as Markdown: the paths, the distributions by CRPS, how far it may go."""

import textwrap

from stockml.evaluation.distribution_scores import CrpsComparison
from stockml.evaluation.distribution_table import BASE, row_of
from stockml.evaluation.evaluate import CHAMPION, LAST_CLOSE, LSTM, PUBLISHED, TREND_PRIOR, WITHOUT_NETWORK
from stockml.evaluation.metrics import Score
from stockml.evaluation.simple_distributions import POOLED, SHAPES
from stockml.forecasts.forecast import Forecast, price_text
from stockml.forecasts.proper_scores import BANDS
from stockml.models.baselines import LAST_MID
from stockml.nights.record import Night

FIRST = (LAST_CLOSE, LAST_MID, "last value")  # by which all are measured; the averages follow
LAST = (TREND_PRIOR, LSTM, CHAMPION, WITHOUT_NETWORK, PUBLISHED)
DISTRIBUTIONS = {  # the rows that are more than their name says
    LSTM: "tonight's network",
    CHAMPION: "champion",
    WITHOUT_NETWORK: "the same without network",
}
OUTLOOK = ("volatility", "a year", "usually", "tonight", "rise", "over ±5, ±10%")

Rows = list[tuple[str, ...]]  # the heading first; none where there is no table


def path_lines(night: Night) -> list[str]:
    return _lines("{:<18} {:>10} {:>8} {:>9} {:>20}", _path_rows(night))


def path_markdown(night: Night) -> str:
    return _markdown("|---|--:|--:|--:|--:|", _path_rows(night))


def distribution_lines(night: Night) -> list[str]:
    if not (rows := _distribution_rows(night)):
        return []
    told = [textwrap.wrap(reason, 100, subsequent_indent="  ") for reason in _reasons(night)]
    return ["", *_lines("{:<36} {:>7} {:>20} {:>12} {:>17}", rows), *(line for lines in told for line in lines)]


def distribution_markdown(night: Night) -> str:
    if not (rows := _distribution_rows(night)):
        return ""
    reasons = "\n".join(f"- {reason}" for reason in _reasons(night))
    return "\n\n".join(part for part in (_markdown("|---|--:|--:|--:|--:|", rows), reasons) if part)


def outlook_lines(forecast: Forecast) -> list[str]:
    rows = _outlook_rows(forecast)
    return ["", *_lines("{:<12} {:>6} {:>11}  {:<36} {:>4} {:>15}", rows), ""] if rows else []


def outlook_markdown(forecast: Forecast) -> str:
    return _markdown("|---|--:|--:|---|--:|--:|", _outlook_rows(forecast))


def rise(night: Night | None, chance: float, step: int) -> str:
    """With how often it rose, and how good such chances were.  night: None where it is gone.  chance: 0 to 1."""
    said = f"{chance:.0%} that the price is higher in {step} sessions"
    if night is None or night.evaluation is None or (rate := _base_rate(night)) is None:
        return said
    said += f"; it was from {rate:.0%} of {night.evaluation.origins:,} origins"
    published = night.score(PUBLISHED)
    if published is None or published.direction.brier is None:
        return said
    return f"{said} (Brier score {published.direction.brier:.3f}, of that share for all {rate * (1 - rate):.3f})"


def _path_rows(night: Night) -> Rows:
    origins = f"{night.evaluation.origins:,} origins" if night.evaluation else "no origins"
    rate = _base_rate(night)
    direction = "direction" if rate is None else f"direction (rose {rate:.0%})"
    heading = (f"path, {origins}", "MSE", "skill", "RMSE", direction)
    return [heading, *((name, *_cells(score)) for name, score in _scores(night).items())]


def _scores(night: Night) -> dict[str, Score]:
    scores = night.evaluation.scores if night.evaluation else {}
    between = sorted(name for name in scores if name not in (*FIRST, *LAST))
    return {name: scores[name] for name in (*FIRST, *between, *LAST) if name in scores}


def _cells(score: Score) -> list[str]:
    """MSE, skill, RMSE and direction; a dash where a figure is not defined."""
    values = score.mse, score.skill, score.rmse, score.direction.accuracy
    cells = "{:.6f}".format, "{:+.3f}".format, price_text, "{:.0%}".format
    return ["–" if value is None else cell(value) for value, cell in zip(values, cells, strict=True)]


def _base_rate(night: Night) -> float | None:
    return next((score.direction.base_rate for score in _scores(night).values()), None)


def _distribution_rows(night: Night) -> Rows:
    """Every row by its whole distribution: CRPS, its skill over the strongest simple one, of the width alone, cover."""
    table = night.distributions
    if table is None or not table.scores:
        return []

    def skill(found: CrpsComparison | None) -> str:
        return "–" if found is None else f"{found.skill:+z.2%}"

    origins = next(iter(table.scores.values())).origins
    ordered = [name for name in (*SHAPES, BASE, *LAST) if name in table.scores]  # a night that is read has them by name
    return [
        (f"distribution, {origins:,} origins", "CRPS, %", f"vs {POOLED}", "width alone", "inside 50 80 95%"),
        *(
            (
                DISTRIBUTIONS.get(name, name) + (", published" if name == row_of(night.publisher) else ""),
                f"{100 * table.scores[name].crps:.4f}",
                skill(table.whole.get(name)),
                skill(table.widths.get(name)),
                " ".join(f"{table.scores[name].coverage[level]:.0%}" for level in BANDS),
            )
            for name in ordered
        ),
    ]


def _reasons(night: Night) -> list[str]:
    """Why a row is not there."""
    return [f"{name}: {why}" for name, why in night.distributions.reasons.items()] if night.distributions else []


def _outlook_rows(forecast: Forecast) -> Rows:
    rows: Rows = []
    for each in forecast.outlook:
        usual = "{:.0%} to {:.0%}".format(*each.usual) if each.usual else "–"
        beyond = ", ".join(f"{chance:.0%}" for chance in each.beyond)
        cells = f"{each.sessions} sessions", f"{each.volatility:.1%}", usual, each.place, f"{each.rise:.0%}", beyond
        rows.append(cells)
    return [OUTLOOK, *rows] if rows else []


def _lines(shape: str, rows: Rows) -> list[str]:
    return [shape.format(*row) for row in rows]


def _markdown(rule: str, rows: Rows) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines[:1], rule, *lines[1:]]).replace(" | ", "&emsp;| ") if lines else ""  # MLflow pads no cell
