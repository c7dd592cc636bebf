"""Backtests of many tickers side by side, in percent: means, shares of tickers, Diebold-Mariano
over calendar time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stockml.errors import RowUnavailable, quantity
from stockml.evaluation.backtest import CENTRED, TickerBacktest
from stockml.evaluation.distribution_scores import PairedLosses, panel_diebold_mariano
from stockml.evaluation.distribution_table import SHOWN_LEADS
from stockml.evaluation.outlook_scores import OutlookLine, outlook_lines
from stockml.evaluation.path_scores import LAST_CLOSE, PUBLISHED
from stockml.evaluation.simple_distributions import CONSTANT_WIDTH, OWN_HAR
from stockml.forecasts.proper_scores import BANDS
from stockml.models.har_regression import EWMA_20, EWMA_60, REGRESSION
from stockml.models.lead_grid import LEADS
from stockml.models.ridge_regression import RIDGE
from stockml.models.ticker_network import PRETRAINED

ROWS = (
    f"{CONSTANT_WIDTH}, own shape",
    f"{EWMA_20}, pooled shape",
    f"{EWMA_60}, own shape",
    f"{EWMA_60}, pooled shape",
    f"{OWN_HAR}, pooled shape",
    f"{REGRESSION}, own shape",
    CENTRED,
    RIDGE,
    PRETRAINED,
    PUBLISHED,
)
NETWORK_ADDS, TRAINING_ADDS = "network adds", "training adds"
OVER = (f"{CONSTANT_WIDTH}, own shape", f"{EWMA_60}, own shape", CENTRED)
ADDS = {NETWORK_ADDS: RIDGE, TRAINING_ADDS: PRETRAINED}
MAX_NAMED = 3
IN_TWENTY = 20
FEWER = " †"  # a row that some ticker lacks
Cells = list[list[str]]


@dataclass(frozen=True)
class BacktestRow:
    """One row over its tickers: mean, share of tickers above zero, the same by lead; p two-sided
    over all tickers.

    median: over tickers.  without_best: the mean without the best ticker in twenty, at least one;
    None of one ticker. not_worse: share of tickers at zero or above at lead 1.  coverage: of the
    50, 80 and 95 % bands, none of which is centred.  interval_score: what the 80 % band's saves
    over the regression's.
    """

    row: str
    tickers: int
    mean: float
    median: float
    without_best: float | None
    share: float
    not_worse: float
    by_lead: dict[str, float]
    share_by_lead: dict[str, float]
    p_value: float | None
    coverage_80: float | None = None
    worst_coverage_80: tuple[float, float] | None = None
    coverage: dict[str, float] | None = None
    interval_score: float | None = None


@dataclass(frozen=True)
class BacktestTable:
    """distributions: CRPS skill of widths alone over CENTRED; adds: of the published width over the
    ridge regression (network adds) and over the pretrained network left alone (training adds);
    over: over other forecasts; whole: of the published forecast as it is, as a ticker's; paths: MSE
    skill in log price over the last close; outlook: published volatilities and chances.  missing:
    why some ticker lacks a row, or has it from older vintages than it should.  left_out: tickers
    and reasons.  doubtful: tickers whose prices should be looked at, and why; they count unless
    left out."""

    first: str
    last: str
    tickers: int
    origins: int
    distributions: list[BacktestRow]
    adds: list[BacktestRow]
    over: list[BacktestRow]
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
    still = {each.ticker: why for each in backtests if each not in moved}
    left_out = {**left_out, **still}
    if not moved:
        raise RowUnavailable("all of them are left out:", _commonest(left_out))
    nights = [night for each in moved for night in each.nights]
    by_row = {row: [each for each in moved if row in each.widths] for row in ROWS}
    rows = dict.fromkeys(
        row for each in moved for row in each.reasons if row in ROWS or not row.endswith(" shape")
    )
    lacking = {
        row: {each.ticker: each.reasons[row] for each in moved if row in each.reasons}
        for row in rows
    }
    return BacktestTable(
        first=str(min(each.sessions[0] for each in moved)),
        last=str(max(each.sessions[1] for each in moved)),
        tickers=len(moved),
        origins=sum(each.origins for each in moved),
        distributions=[_width_line(row, tickers) for row, tickers in by_row.items() if tickers],
        adds=[
            _line(row, [each.over[of] for each in by_row[of]])
            for row, of in ADDS.items()
            if by_row[of]
        ],
        over=[
            _line(f"over {row}", [each.over[row] for each in by_row[row]])
            for row in OVER
            if by_row[row]
        ],
        whole=[_line(row, [each.whole[row] for each in moved]) for row in moved[0].whole],
        paths=[
            _line(row, [each.paths[row] for each in moved])
            for row in moved[0].paths
            if row != LAST_CLOSE
        ],
        outlook=outlook_lines([each.outlook for each in moved]),
        trained={
            "nights": len(nights),
            "training used": sum(night.mode not in ("keep", "pretrained") for night in nights),
            "training, mean skill": 100
            * float(np.mean([night.evidence or 0.0 for night in nights])),
            "promoted": sum(night.promoted for night in nights),
            "without a network": sum(night.publisher == REGRESSION for night in nights),
        },
        missing={
            row: (
                f"{len(why)} of {quantity(len(moved), 'ticker')} ({_some([*why])}): "
                f"{next(iter(why.values()))}"
            )
            for row, why in lacking.items()
        },
        left_out=left_out,
        doubtful=dict(doubtful or {}),
    )


def _commonest(left_out: Mapping[str, str]) -> str:
    """The commonest reasons, each with those that it is given for: `reason: A, B, C and 4 more;
    …`."""
    tickers: dict[str, list[str]] = {}
    for name, why in left_out.items():
        tickers.setdefault(why.partition(f"{name}: ")[2] or why, []).append(name)
    reasons = sorted(tickers, key=lambda why: -len(tickers[why]))
    return _some([f"{why}: {_some(tickers[why])}" for why in reasons], "; ")


def _some(names: Sequence[str], between: str = ", ") -> str:
    more = (
        f"{between.strip(' ,')} and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    )
    return f"{between.join(names[:MAX_NAMED])}{more}"


def _width_line(row: str, tickers: Sequence[TickerBacktest]) -> BacktestRow:
    scores, centred = ([each.scores[name] for each in tickers] for name in (row, CENTRED))
    covered = [100 * each.coverage["80"] for each in scores]
    pairs = zip(scores, centred, strict=True)
    saved = [1 - own.interval_scores["80"] / other.interval_scores["80"] for own, other in pairs]
    return replace(
        _line(row, [each.widths[row] for each in tickers]),
        coverage_80=float(np.mean(covered)),
        worst_coverage_80=(min(covered), max(covered)),
        coverage={
            level: 100 * float(np.mean([each.coverage[level] for each in scores]))
            for level in BANDS
        },
        interval_score=100 * float(np.mean(saved)),
    )


def _line(row: str, losses: Sequence[PairedLosses]) -> BacktestRow:
    values = 100 * np.array([each.skills for each in losses])
    mean, share = values.mean(axis=0), 100 * (values > 0).mean(axis=0)
    others = np.sort(values[:, 0])[: -math.ceil(len(values) / IN_TWENTY)]
    at = {str(lead): 1 + LEADS.index(lead) for lead in SHOWN_LEADS}
    test = panel_diebold_mariano(losses) if row != CENTRED else None
    return BacktestRow(
        row=row,
        tickers=len(values),
        mean=float(mean[0]),
        median=float(np.median(values[:, 0])),
        without_best=float(others.mean()) if len(others) else None,
        share=float(share[0]),
        not_worse=float(100 * (values[:, 1] >= 0).mean()),
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
    fewer = {line.row for line in table.distributions if line.tickers < table.tickers}
    return [
        f"{table}.",
        "",
        *_skills(
            "CRPS skill of the width over the regression (both symmetrised)",
            table,
            table.distributions,
        ),
        *_skills(
            (
                "CRPS skill of the published width over the ridge regression and the pretrained "
                "network"
            ),
            table,
            table.adds,
        ),
        *_skills("CRPS skill of the published width over other forecasts", table, table.over),
        *_skills(
            "CRPS skill of the published forecast, location included, over the centred regression",
            table,
            table.whole,
        ),
        *_bands(table),
        *_skills(
            "Skill of the path over the last close (1 - MSE / MSE), in log price",
            table,
            table.paths,
        ),
        *_outlook(table),
        "nights: {nights}; {training used} used a fine-tuned network ({training, mean "
        "skill:+.3f}% of CRPS on the validation part, mean over all nights), {promoted} "
        "promoted a model, {without a network} published without a network.".format(
            **table.trained
        ),
        *(
            f"{_short(row)}{FEWER if row in fewer else ''}: {why}."
            for row, why in table.missing.items()
        ),
        *(f"Look at the prices of {ticker}: {why}." for ticker, why in table.doubtful.items()),
        *(f"Left out: {ticker}, {why}." for ticker, why in table.left_out.items()),
    ]


def _skills(what: str, table: BacktestTable, lines: Sequence[BacktestRow]) -> list[str | Cells]:
    """The skills; of several tickers, also the share of them above zero, in a table of its own:
    else it is too wide."""
    leads = [f"lead {SHOWN_LEADS[0]}", *map(str, SHOWN_LEADS[1:])]
    skills = [
        [_shown(line, table), f"{line.mean:+z.2f}", _p_value(line), *_leads(line.by_lead)]
        for line in lines
    ]
    parts: list[str | Cells] = [what, "", [["", "mean, %", "p", *leads], *skills], ""]
    others = [
        (line, line.without_best)
        for line in lines
        if round(line.mean, 2) > 0 and line.without_best is not None
    ]
    if few := [f"{_shown(line, table)} {mean:+z.2f}" for line, mean in others if mean <= 0]:
        parts += [
            f"Made by few tickers, not above zero without the best in twenty: {', '.join(few)}",
            "",
        ]
    if table.tickers > 1:
        shares = [
            [_shown(line, table), *_leads({"mean": line.share, **line.share_by_lead}, ".0f")]
            for line in lines
        ]
        parts += ["Percent of tickers above zero", "", [["", "mean", *leads], *shares], ""]
    return parts


def _shown(line: BacktestRow, table: BacktestTable) -> str:
    return _short(line.row) + (FEWER if line.tickers < table.tickers else "")


def _short(row: str) -> str:
    """A row's name, as short as Prefect's page is narrow."""
    return row.replace(CONSTANT_WIDTH, "constant width").replace(OWN_HAR, "own HAR range")


def _p_value(line: BacktestRow | OutlookLine) -> str:
    return (
        "–"
        if line.p_value is None
        else "< 0.001"
        if line.p_value < 0.001
        else f"{line.p_value:.3f}"
    )


def _leads(values: Mapping[str, float], template: str = "+z.2f") -> list[str]:
    return [format(value, template) for value in values.values()]


def _bands(table: BacktestTable) -> list[str | Cells]:
    heads = ["", "50, 80, 95% held", "80% by ticker", "interval score"]
    rows = [
        [
            _shown(line, table),
            " ".join(f"{line.coverage[level]:.1f}" for level in BANDS),
            "{:.0f} to {:.0f}%".format(*line.worst_coverage_80),
            f"{line.interval_score:+z.2f}%",
        ]
        for line in table.distributions
        if line.coverage and line.worst_coverage_80 and line.interval_score is not None
    ]
    what = "Coverage of the bands; interval score that the 80% band saves over the regression"
    return [f"{what} (neither symmetrised)", "", [heads, *rows], ""]


def _outlook(table: BacktestTable) -> list[str | Cells]:
    """The scores, then what the network adds: in one table they are wider than Prefect's page."""
    scores, gains = list[list[str]](), list[list[str]]()
    for each in table.outlook:
        name = f"{each.what}, {each.sessions} sessions"
        scores.append(
            [
                name,
                f"{each.said:.1%}",
                f"{each.came_true:.1%}",
                f"{each.score:.4f}",
                f"{each.constant:.4f}",
            ]
        )
        if each.network_adds is not None and each.share is not None:
            fewer = "" if each.compared == each.tickers else f" (of {each.compared})"
            gains.append(
                [name, f"{each.network_adds:+z.2f}", _p_value(each), f"{each.share:.0f}{fewer}"]
            )
    title = (
        "Published volatilities (QLIKE) and chances (Brier's score); constant: that of the mean "
        "realised value"
    )
    parts = (
        (title, ["forecast", "realised", "score", "constant"], scores),
        (
            "What the network adds to these, in percent of the score",
            ["mean, %", "p", "% of tickers"],
            gains,
        ),
    )
    return [
        part
        for what, heads, rows in parts
        if rows
        for part in (what, "", [["", *heads], *rows], "")
    ]
