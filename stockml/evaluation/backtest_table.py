"""Backtests of many tickers side by side, in percent: means, shares of tickers, Diebold-Mariano
over calendar time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stockml.errors import RowUnavailable, quantity
from stockml.evaluation.backtest import BacktestNight, TickerBacktest
from stockml.evaluation.distribution_scores import SHOWN_LEADS, PairedLosses, panel_diebold_mariano
from stockml.evaluation.outlook_scores import OutlookLine, outlook_lines
from stockml.evaluation.path_scores import LAST_CLOSE, PUBLISHED
from stockml.forecasts.proper_scores import BANDS
from stockml.models.regressions import LEADS, REGRESSION, RIDGE
from stockml.models.trained_model import PRETRAINED

ADDS = {"network adds": RIDGE, "training adds": PRETRAINED}
MAX_NAMED = 3
IN_TWENTY = 20
FEWER = " †"  # a row that some ticker lacks
Cells = list[list[str]]


@dataclass(frozen=True)
class BacktestRow:
    """One row over its tickers: mean, share of tickers above zero, the same by lead; p two-sided
    over all tickers.

    without_best: the mean without the best ticker in twenty, at least one; None of one ticker.
    coverage: of the 50, 80 and 95 % bands, not centred; worst_coverage_80: of the tickers, lowest
    and highest.
    """

    row: str
    tickers: int
    mean: float
    without_best: float | None
    share: float
    by_lead: dict[str, float]
    share_by_lead: dict[str, float]
    p_value: float | None
    worst_coverage_80: tuple[float, float] | None = None
    coverage: dict[str, float] | None = None


@dataclass(frozen=True)
class BacktestTable:
    """distributions: CRPS skill of widths alone over the regression; adds: of the published width
    over the ridge regression (network adds) and over the pretrained network left alone (training
    adds); whole: of the published forecast as it is, as a ticker's; paths: MSE skill in log price
    over the last close; outlook: published volatilities and chances.  missing: why some ticker
    lacks a row, or has it from older vintages than it should.  left_out: tickers and reasons.
    doubtful: tickers whose prices should be looked at, and why; they count unless left out."""

    first: str
    last: str
    tickers: int
    origins: int
    distributions: list[BacktestRow]
    adds: list[BacktestRow]
    whole: list[BacktestRow]
    paths: list[BacktestRow]
    outlook: list[OutlookLine]
    trained: dict[str, float]
    missing: dict[str, str]
    left_out: dict[str, str]
    doubtful: dict[str, str]

    def __str__(self) -> str:
        """How much it rests on: `1 ticker, 162 origins from 2009-09-30 to 2012-12-11`."""
        tickers, origins = quantity(self.tickers, "ticker"), quantity(self.origins, "origin")
        return f"{tickers}, {origins} from {self.first} to {self.last}"


def backtest_table(
    backtests: Sequence[TickerBacktest],
    left_out: Mapping[str, str],
    doubtful: Mapping[str, str] | None = None,
) -> BacktestTable:
    """Combine backtests, one per ticker, without prices that stood still.  Raises RowUnavailable if
    none is left."""
    moved = [
        each
        for each in backtests
        if np.isfinite([*each.widths[PUBLISHED].skills, *each.paths[PUBLISHED].skills]).all()
    ]
    why = "expected a price that moves, found one still at a lead"
    left_out = {**left_out, **{each.ticker: why for each in backtests if each not in moved}}
    if not moved:
        reasons = dict.fromkeys(
            why.partition(f"{name}: ")[2] or why for name, why in left_out.items()
        )
        raise RowUnavailable("all of them are left out:", _some([*reasons], "; "))
    rows = dict.fromkeys(row for each in moved for row in each.widths)
    having = {row: [each for each in moved if row in each.widths] for row in rows}
    return BacktestTable(
        first=str(min(each.sessions[0] for each in moved)),
        last=str(max(each.sessions[1] for each in moved)),
        tickers=len(moved),
        origins=sum(each.origins for each in moved),
        distributions=[_width_line(row, tickers) for row, tickers in having.items()],
        adds=[
            _line(row, [each.over[of] for each in having[of]])
            for row, of in ADDS.items()
            if of in having
        ],
        whole=[_line(row, [each.whole[row] for each in moved]) for row in moved[0].whole],
        paths=[
            _line(row, [each.paths[row] for each in moved])
            for row in moved[0].paths
            if row != LAST_CLOSE
        ],
        outlook=outlook_lines([each.outlook for each in moved]),
        trained=_trained([night for each in moved for night in each.nights]),
        missing=_missing(moved),
        left_out=left_out,
        doubtful=dict(doubtful or {}),
    )


def _trained(nights: Sequence[BacktestNight]) -> dict[str, float]:
    skills = [night.evidence or 0.0 for night in nights]
    return {
        "nights": len(nights),
        "training used": sum(night.mode not in ("keep", "pretrained") for night in nights),
        "training, mean skill": 100 * float(np.mean(skills)),
        "promoted": sum(night.promoted for night in nights),
        "without a network": sum(night.publisher == RIDGE for night in nights),
    }


def _missing(backtests: Sequence[TickerBacktest]) -> dict[str, str]:
    """By row, how many tickers lack it, which, and why the first of them does."""
    missing = {}
    for row in dict.fromkeys(row for each in backtests for row in each.reasons):
        lacking = [each for each in backtests if row in each.reasons]
        of_all = f"{len(lacking)} of {quantity(len(backtests), 'ticker')}"
        names = _some([each.ticker for each in lacking])
        missing[row] = f"{of_all} ({names}): {lacking[0].reasons[row]}"
    return missing


def _some(names: Sequence[str], between: str = ", ") -> str:
    shown, more = between.join(names[:MAX_NAMED]), len(names) - MAX_NAMED
    return f"{shown}{between.strip()} and {more} more" if more > 0 else shown


def _width_line(row: str, tickers: Sequence[TickerBacktest]) -> BacktestRow:
    held = {level: [100 * each.scores[row].coverage[level] for each in tickers] for level in BANDS}
    return replace(
        _line(row, [each.widths[row] for each in tickers]),
        worst_coverage_80=(min(held["80"]), max(held["80"])),
        coverage={level: float(np.mean(shares)) for level, shares in held.items()},
    )


def _line(row: str, losses: Sequence[PairedLosses]) -> BacktestRow:
    values = 100 * np.array([each.skills for each in losses])
    mean, share = values.mean(axis=0), 100 * (values > 0).mean(axis=0)
    others = np.sort(values[:, 0])[: -math.ceil(len(values) / IN_TWENTY)]
    at = {str(lead): 1 + LEADS.index(lead) for lead in SHOWN_LEADS}
    test = panel_diebold_mariano(losses) if row != REGRESSION else None
    return BacktestRow(
        row=row,
        tickers=len(values),
        mean=float(mean[0]),
        without_best=float(others.mean()) if len(others) else None,
        share=float(share[0]),
        by_lead={lead: float(mean[i]) for lead, i in at.items()},
        share_by_lead={lead: float(share[i]) for lead, i in at.items()},
        p_value=test.p_value if test else None,
    )


def markdown(table: BacktestTable) -> list[str]:
    """The table as lines of Markdown."""
    text: list[str] = []
    for part in contents(table):
        if isinstance(part, str):
            text.append(part)
        else:
            heading, *lines = [f"| {' | '.join(row)} |" for row in part]
            text += [heading, "|---|" + "--:|" * (len(part[0]) - 1), *lines]
    return text


def contents(table: BacktestTable) -> list[str | Cells]:
    """The table as lines of text, and as cells by row, heading first, the first column of names,
    all others numbers."""
    parts: list[str | Cells] = [f"{table}.", ""]
    for what, lines in (
        ("CRPS skill of the width over the regression (both symmetrised)", table.distributions),
        (
            "CRPS skill of the published width over the ridge regression and the pretrained "
            "network",
            table.adds,
        ),
        (
            "CRPS skill of the published forecast, location included, over the centred regression",
            table.whole,
        ),
        ("Skill of the path over the last close (1 - MSE / MSE), in log price", table.paths),
    ):
        parts += _skills(what, lines, table.tickers)
    parts += _bands(table.distributions, table.tickers) + _outlook(table.outlook)
    parts.append(
        "nights: {nights}; {training used} used a fine-tuned network ({training, mean "
        "skill:+.3f}% of CRPS on the validation part, mean over all nights), {promoted} "
        "promoted a model, {without a network} published without a network.".format(**table.trained)
    )
    names = {line.row: _name(line, table.tickers) for line in table.distributions}
    parts += [f"{names.get(row, row)}: {why}." for row, why in table.missing.items()]
    parts += [f"Look at the prices of {ticker}: {why}." for ticker, why in table.doubtful.items()]
    parts += [f"Left out: {ticker}, {why}." for ticker, why in table.left_out.items()]
    return parts


def _name(line: BacktestRow, of: int) -> str:
    return line.row + (FEWER if line.tickers < of else "")


def _titled(what: str, heading: list[str], rows: Cells) -> list[str | Cells]:
    return [what, "", [["", *heading], *rows], ""] if rows else []


def _skills(what: str, lines: Sequence[BacktestRow], of: int) -> list[str | Cells]:
    """The skills; of several tickers, also the share of them above zero, in a table of its own:
    else it is too wide."""
    leads = [f"lead {SHOWN_LEADS[0]}", *map(str, SHOWN_LEADS[1:])]
    skills, shares, few = list[list[str]](), list[list[str]](), list[str]()
    for line in lines:
        name = _name(line, of)
        by_lead = [f"{skill:+z.2f}" for skill in line.by_lead.values()]
        skills.append([name, f"{line.mean:+z.2f}", _p_value(line), *by_lead])
        above = [f"{share:.0f}" for share in (line.share, *line.share_by_lead.values())]
        shares.append([name, *above])
        if round(line.mean, 2) > 0 and line.without_best is not None and line.without_best <= 0:
            few.append(f"{name} {line.without_best:+z.2f}")
    parts = _titled(what, ["mean, %", "p", *leads], skills)
    if few:
        made = "Made by few tickers, not above zero without the best in twenty"
        parts += [f"{made}: {', '.join(few)}", ""]
    if of > 1:
        parts += _titled("Percent of tickers above zero", ["mean", *leads], shares)
    return parts


def _p_value(line: BacktestRow | OutlookLine) -> str:
    if line.p_value is None:
        return "–"
    return "< 0.001" if line.p_value < 0.001 else f"{line.p_value:.3f}"


def _bands(lines: Sequence[BacktestRow], of: int) -> list[str | Cells]:
    rows = [
        [
            _name(line, of),
            " ".join(f"{line.coverage[level]:.1f}" for level in BANDS),
            "{:.0f} to {:.0f}%".format(*line.worst_coverage_80),
        ]
        for line in lines
        if line.coverage and line.worst_coverage_80
    ]
    heading = ["50, 80, 95% held", "80% by ticker"]
    return _titled("Coverage of the bands (not symmetrised)", heading, rows)


def _outlook(lines: Sequence[OutlookLine]) -> list[str | Cells]:
    """The scores, then what the network adds: in one table they are wider than Prefect's page."""
    scores, gains = list[list[str]](), list[list[str]]()
    for each in lines:
        name = f"{each.what}, {each.sessions} sessions"
        shares = [f"{each.said:.1%}", f"{each.came_true:.1%}"]
        scores.append([name, *shares, f"{each.score:.4f}", f"{each.constant:.4f}"])
        if each.network_adds is not None and each.share is not None:
            fewer = "" if each.compared == each.tickers else f" (of {each.compared})"
            gains.append(
                [name, f"{each.network_adds:+z.2f}", _p_value(each), f"{each.share:.0f}{fewer}"]
            )
    title = (
        "Published volatilities (QLIKE) and chances (Brier's score); constant: that of the mean "
        "realised value"
    )
    return [
        *_titled(title, ["forecast", "realised", "score", "constant"], scores),
        *_titled(
            "What the network adds to these, in percent of the score",
            ["mean, %", "p", "% of tickers"],
            gains,
        ),
    ]
