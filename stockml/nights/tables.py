"""A night's tables, for the terminal and as Markdown: paths, distributions by CRPS, outlook; and
many names in one line."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from stockml.errors import quantity
from stockml.evaluation.distribution_scores import CrpsComparison, DistributionTable, row_of
from stockml.evaluation.outlook_scores import LARGE_MOVES, MIN_ORIGINS, RISE
from stockml.evaluation.path_scores import (
    CHAMPION,
    LAST_CLOSE,
    LSTM,
    PUBLISHED,
    WITHOUT_NETWORK,
    Score,
)
from stockml.forecasts.forecast import Forecast, price_text
from stockml.forecasts.proper_scores import BANDS, p_text
from stockml.models.regressions import REGRESSION, RIDGE
from stockml.models.trained_model import PRETRAINED
from stockml.nights.card import Chance, chance_of
from stockml.nights.record import Night
from stockml.redaction import brief

FIRST = (LAST_CLOSE, "last mid price", "last value")  # the references; the averages follow them
LAST = (LSTM, CHAMPION, WITHOUT_NETWORK, PUBLISHED)
SHOWN_AS = {LSTM: "tonight's model"}  # of distributions; others as named
MAX_NAMED, WHY = 20, 160  # in one line: reasons, and names of each; characters of a reason
OUTLOOK = ("volatility", "a year", "usually", "tonight", "rise", "over ±5, ±10%")


@dataclass(frozen=True)
class Table:
    """Rows, heading first; none for nothing to show.  shape: a terminal line's format.  notes:
    below the table."""

    rows: Sequence[tuple[str, ...]]
    shape: str
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The table for the terminal, after an empty line; nothing without rows."""
        notes = [
            line for note in self.notes for line in textwrap.wrap(note, 100, subsequent_indent="  ")
        ]
        return ["", *(self.shape.format(*row) for row in self.rows), *notes] if self.rows else []

    def markdown(self) -> str:
        """The table for both pages, its notes as a list below it; nothing without rows."""
        rule = "|" + "".join("--:|" if ">" in cell else "---|" for cell in self.shape.split())
        heading, *lines = [f"| {' | '.join(row)} |" for row in self.rows] or [""]
        table = "\n".join([heading, rule, *lines]).replace(" | ", "&emsp;| ")  # MLflow pads no cell
        notes = "\n".join(f"- {note}" for note in self.notes)
        return "\n\n".join(part for part in (table, notes) if part) if self.rows else ""


def aligned(rows: Sequence[Sequence[str]], sides: str, gap: str = "  ") -> list[str]:
    """The rows as lines for the terminal, columns fitted to their cells.  sides: < or > for each
    column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    template = gap.join(f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True))
    return [template.format(*row).rstrip() for row in rows]


def by_reason(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Each reason's names, from pairs (name, reason), in their order."""
    names_by_reason: dict[str, list[str]] = {}
    for name, why in pairs:
        names_by_reason.setdefault(why, []).append(name)
    return names_by_reason


def grouped_line(pairs: Sequence[tuple[str, str]], template: str, *, others: str = "") -> str:
    """Fill `template`, such as `{names}: {why}`, for each reason, join the texts, and count the
    names left out.

    others: where those are, as `: stockml status`.
    """
    shown, n_left = [], len(pairs)
    for why, names in islice(
        by_reason((name, brief(why, WHY)) for name, why in pairs).items(), MAX_NAMED
    ):
        shown.append(
            template.format(
                names=", ".join(names[:MAX_NAMED]) + ", …" * (len(names) > MAX_NAMED), why=why
            )
        )
        n_left -= len(names[:MAX_NAMED])
    return "; ".join([*shown, *([f"and {n_left} more{others}"] if n_left else [])])


def rise(night: Night | None, forecast: Forecast) -> str:
    """The chance of a rise, or how often the price rose where that was no worse.  night: None if it
    is gone."""
    if night and night.stands_still:
        return "none given, as no price moved"
    chance, published = (
        Chance(forecast.probability_of_rise),
        night.score(PUBLISHED) if night else None,
    )
    brier, rate = (
        published.direction.brier if published else None,
        _base_rate(night) if night else None,
    )
    if brier is not None and rate is not None and brier >= rate * (1 - rate):
        chance = Chance(rate, usual=True)
    return f"of a higher price in {quantity(forecast.direction_step, 'session')}: {chance}"


def paths(night: Night) -> Table:
    """Each path's errors on the test part's origins: MSE in squared shares of the range, RMSE in
    price, direction."""
    origins = quantity(night.evaluation.origins, "origin") if night.evaluation else "no origins"
    rate = _base_rate(night)
    direction = "direction" if rate is None else f"direction (rose {rate:.0%})"
    rows: list[tuple[str, ...]] = [(f"path, {origins}", "MSE", "skill", "RMSE", direction)]
    for name, score in _scores(night).items():
        values = (
            score.mse,
            score.skill,
            score.rmse,
            None if rate is None else score.direction.accuracy,
        )
        cells = "{:.6f}".format, "{:+.3f}".format, price_text, "{:.0%}".format
        rows.append(
            (
                name,
                *(
                    "–" if value is None else cell(value)
                    for value, cell in zip(values, cells, strict=True)
                ),
            )
        )
    return Table(rows, "{:<18} {:>10} {:>8} {:>9} {:>20}")


def _scores(night: Night) -> dict[str, Score]:
    scores = night.evaluation.scores if night.evaluation else {}
    between = sorted(name for name in scores if name not in (*FIRST, *LAST))
    return {name: scores[name] for name in (*FIRST, *between, *LAST) if name in scores}


def _base_rate(night: Night) -> float | None:
    """How often the price rose; None after too few origins for a share of them to say anything."""
    few = not night.evaluation or night.evaluation.origins < MIN_ORIGINS
    return (
        None
        if few
        else next((score.direction.base_rate for score in _scores(night).values()), None)
    )


def distributions(night: Night) -> Table:
    """Each distribution's CRPS, CRPS skill over the regression, that of its width alone, and
    coverage."""
    table, template = night.distributions, "{:<36} {:>7} {:>20} {:>12} {:>17}"
    if table is None or not table.scores:
        return Table([], template)

    def skill(comparison: CrpsComparison | None) -> str:
        return "–" if comparison is None else f"{comparison.skill:+z.2%}"

    origins = quantity(next(iter(table.scores.values())).origins, "origin")
    rows = [
        (
            f"distribution, {origins}",
            "CRPS, %",
            f"vs {REGRESSION}",
            "width alone",
            "inside 50 80 95%",
        )
    ]
    for name, label in _labels(table).items():
        score = table.scores[name]
        published = ", published" if name == row_of(night.publisher) else ""
        few = score.origins < MIN_ORIGINS
        coverages = "–" if few else " ".join(f"{score.coverage[level]:.0%}" for level in BANDS)
        skills = skill(table.whole.get(name)), skill(table.widths.get(name))
        rows.append((label + published, f"{100 * score.crps:.4f}", *skills, coverages))
    figures = ((f"intervals/coverage_{level}", night.metrics) for level in BANDS)
    coverages = " ".join(f"{metrics[name]:.0%}" for name, metrics in figures if name in metrics)
    note = f"means of leads {', '.join(map(str, table.leads))}"
    note += f"; over all leads the published bands held {coverages}" if coverages else ""
    scored = "regressions and pretrained network" if PRETRAINED in table.scores else "regressions"
    seen = [f"the scored {scored} learned through {table.through}"] if table.through else []
    return Table(
        rows, template, (note, *seen, *(f"{name}: {why}" for name, why in table.reasons.items()))
    )


def _labels(table: DistributionTable) -> dict[str, str]:
    """The label of each scored distribution, from the simplest to the published one."""
    own = (RIDGE, PRETRAINED, *LAST)
    others = sorted(table.scores.keys() - {REGRESSION, *own})  # of other packages
    names = (name for name in (REGRESSION, *others, *own) if name in table.scores)
    return {name: SHOWN_AS.get(name, name) for name in names}


def past_outlooks(night: Night) -> Table:
    """Past outlooks, as they would have been published, beside the realised values."""
    rows: list[tuple[str, ...]] = []
    if night.evaluation and night.outlook_scores:
        of_origins = f"outlook, {quantity(night.evaluation.origins, 'origin')}"
        rows = [(of_origins, "forecast", "realised", "score", "constant", "network adds")]
    for scored in night.outlook_scores:
        adds = "–" if scored.network_adds is None else f"{scored.network_adds:+z.2%}"
        adds += (
            f", p {p_text(scored.test.p_value)}"
            if scored.network_adds is not None and scored.test
            else ""
        )
        scores = (f"{score:.3f}" for score in (scored.score, scored.constant))
        label = f"{scored.what}, {scored.sessions} sessions"
        rows.append((label, f"{scored.said:.1%}", f"{scored.came_true:.1%}", *scores, adds))
    note = (
        "score: QLIKE of volatilities, Brier's of chances (lower is better); constant: that of "
        "the realised value"
    )
    return Table(rows, "{:<24} {:>8} {:>8} {:>6} {:>8} {:>14}", (note,))


def outlook(forecast: Forecast, night: Night | None) -> Table:
    """Annualised volatility, usual and tonight's, and chances of a rise and of a large move, by
    sessions."""
    rows = [OUTLOOK] if forecast.outlook else []
    for entry in forecast.outlook:
        usual = (
            " to ".join(f"{end:.{0 if end >= 0.01 else 1}%}" for end in entry.usual or ()) or "–"
        )
        own = {RISE: entry.rise, **dict(zip(LARGE_MOVES, entry.beyond, strict=True))}
        chances = [chance_of(what, entry.sessions, chance, night) for what, chance in own.items()]
        rise, *beyond = (chance.short + "*" * chance.usual for chance in chances)
        rise = "–" if night and night.stands_still else rise
        rows.append(
            (
                f"{entry.sessions} sessions",
                f"{entry.volatility:.1%}",
                usual,
                entry.place,
                rise,
                ", ".join(beyond),
            )
        )
    note = "*: its past frequency: the forecast's own chance was no better"
    return Table(
        rows, "{:<12} {:>6} {:>12}  {:<36} {:>4} {:>15}", (note,) if "*" in str(rows) else ()
    )
