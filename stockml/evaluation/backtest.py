"""Past nights as the product would have run and published them, gate and fallbacks included,
without look-ahead.

Now and then a night trains, from the pretrained network; those between keep its model. Each judges
and chooses what to publish, on the series as it stood, and is scored beside the simple forecasts
from the same origins.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from stockml.errors import InvalidFile, InvalidSession, InvalidSetting, StockmlError, TooFewBars
from stockml.evaluation.assessment import select_model
from stockml.evaluation.candidates import ScoringData, by_vintages
from stockml.evaluation.distribution_scores import (
    DistributionScore,
    Losses,
    PairedLosses,
    row_of,
    score,
    vintage_rows,
)
from stockml.evaluation.look_ahead import check_look_ahead
from stockml.evaluation.outlook_scores import ScoredStatement, outlook_scores
from stockml.evaluation.path_scores import LAST_CLOSE, PUBLISHED
from stockml.features.origins import OriginSplit, to_newest_units, within_segment
from stockml.models.forecasters import QuantileRows
from stockml.models.regressions import (
    LEADS,
    MEDIAN,
    REGRESSION,
    RIDGE,
    baseline_paths,
    moves,
    symmetrised,
)
from stockml.models.trained_model import Decision, same_forecast, unscored
from stockml.models.vintage_set import VintageSet, vintage_cache
from stockml.models.vintage_store import SHIPPED
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
from stockml.storage.arrays import Floats, Indices
from stockml.training.ticker_training import split_after_vintages, train_ticker

MIN_NIGHTS = 20
WITH_LOCATION = "published, location included"
LOCATION = "of which the location"
AS_IT_IS = "over the regression as it is"
DUE = Decision("retrain", "a training was due")
MIN_PATH = 0.01  # of the close: a path that falls below zero has no logarithm


@dataclass(frozen=True)
class Span:
    """Which past nights: first and last session, and how many sessions from one, and from one
    training, to the next.

    Raises InvalidSession for a last one before the first.
    """

    first: date
    last: date
    every: int = 5
    train_every: int = 120

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise InvalidSession(
                str(self.last), f"the last night of a span from {self.first} on; exchange the two"
            )


@dataclass(frozen=True)
class BacktestNight:
    """A night's model and the result of its gate.  evidence: CRPS skill of its training on the
    validation part."""

    mode: str
    evidence: float | None
    promoted: bool
    publisher: str


@dataclass(frozen=True)
class TickerBacktest:
    """One ticker over the nights; dictionaries are by row.

    sessions: of the first and the last origin.  scores: of the distributions.  widths: gains in
    CRPS over the regression, both symmetrised; over: those of the published forecast over every
    other row.  whole: of the published forecast as it is, over the centred regression, over itself
    symmetrised, and over the regression with its own location.  paths: in MSE over the last close,
    in log price, errors over √lead so that all leads count about alike.
    """

    ticker: str
    sessions: tuple[date, date]
    origins: int
    scores: dict[str, DistributionScore]
    widths: dict[str, PairedLosses]
    over: dict[str, PairedLosses]
    whole: dict[str, PairedLosses]
    paths: dict[str, PairedLosses]
    outlook: tuple[ScoredStatement, ...]
    nights: tuple[BacktestNight, ...]
    reasons: dict[str, str]


@vintage_cache()
def backtest(
    ticker: str,
    series: PriceSeries,
    span: Span,
    settings: Settings,
    folders: Sequence[Path] = (SHIPPED,),
) -> TickerBacktest:
    """Run a ticker's nights of the span, and score what they publish.

    Raises InvalidSetting for a horizon below 50 sessions. Where fewer than 20 nights can be run and
    have outcomes: InvalidFile where there is no pretrained network, TooFewBars for a history too
    short, else InvalidSetting. LooksAhead where a forecast rests on a bar after its origin.
    """
    horizon = settings.evaluation.horizon
    if horizon < LEADS[-1]:
        raise InvalidSetting("evaluation.horizon of a backtest", horizon, f"at least {LEADS[-1]}")
    splits = splits_of_nights(series, span, settings, folders)
    origins, leads = np.array(list(splits)), np.array(LEADS)
    nights, published, ridge = run_nights(series, splits, span, settings, folders)
    rows, reasons = _rows_of_vintages(series, origins, leads, folders)
    rows |= {RIDGE: ridge[:, leads - 1], PUBLISHED: published[:, leads - 1]}
    outlook = outlook_scores(series, origins, published, ridge)
    return _scored(ticker, series, origins, rows, nights, outlook, reasons)


def splits_of_nights(
    series: PriceSeries, span: Span, settings: Settings, folders: Sequence[Path]
) -> dict[int, OriginSplit]:
    """By origin, the parts of each night that could have run.  Raises as `backtest`."""
    first = int(np.searchsorted(series.sessions, np.datetime64(span.first)))
    last = int(np.searchsorted(series.sessions, np.datetime64(span.last), side="right"))
    furthest = max(LEADS[-1], settings.evaluation.direction_step)
    last = min(last, len(series) - furthest)
    earliest = _earliest(series, settings, folders)
    start = max(earliest, first)
    splits = dict[int, OriginSplit]()
    # a night soon after a long hole could not have run
    for origin in within_segment(series, np.arange(start, last, span.every), furthest).tolist():
        with suppress(TooFewBars):
            splits[origin] = split_after_vintages(
                series.until(origin + 1), settings.evaluation, folders
            )
    if len(splits) < MIN_NIGHTS:
        raise _too_few(series, span, folders, len(splits), earliest, newest=len(series) - furthest)
    return splits


def outcome_of_backtest(
    ticker: str, series: PriceSeries, span: Span, settings: Settings, folders: Sequence[Path]
) -> TickerBacktest | StockmlError:
    """What `backtest` returns or raises. It is here, as a process that imports the tasks also
    imports Prefect."""
    try:
        return backtest(ticker, series, span, settings, folders)
    except StockmlError as refusal:
        return refusal


def _too_few(
    series: PriceSeries,
    span: Span,
    folders: Sequence[Path],
    count: int,
    earliest: int,
    newest: int,
) -> StockmlError:
    """Why only `count` nights can be run: from session `earliest` on, before session `newest`."""
    vintages = VintageSet.ending_before(series.sessions[-1].item(), folders)
    if vintages.pretrained is None:
        why = "; ".join(vintages.reasons.values())
        return InvalidFile(
            ", ".join(map(str, folders)),
            f"expected regressions and pretrained networks that can be used; {why}",
        )
    if newest - earliest < MIN_NIGHTS:
        needed = len(series) + (MIN_NIGHTS - count) * span.every
        what = f"{MIN_NIGHTS} nights from {span.first} to {span.last}"
        return TooFewBars(needed, len(series), what)
    possible = f"from {series.sessions[earliest]} to {series.sessions[newest - 1]}"
    return InvalidSetting(
        "the span of a backtest",
        f"{span.first} to {span.last}, {count} nights {span.every} sessions apart",
        f"{possible}, where outcomes are known, and of at least {MIN_NIGHTS} nights",
    )


def _earliest(series: PriceSeries, settings: Settings, folders: Sequence[Path]) -> int:
    """First session, in steps of 50, after which a night could have run with a pretrained network
    and an origin to score."""
    for stop in range(100, len(series), 50):
        try:
            split = split_after_vintages(series.until(stop), settings.evaluation, folders)
        except TooFewBars:
            continue
        if (
            VintageSet.ending_before(series.sessions[split.test.start].item(), folders).pretrained
            is not None
        ):
            return stop
    return len(series)


def run_nights(
    series: PriceSeries,
    splits: Mapping[int, OriginSplit],
    span: Span,
    settings: Settings,
    folders: Sequence[Path],
) -> tuple[tuple[BacktestNight, ...], Floats, Floats]:
    """Run the nights in order; also return (m, horizon, 21) quantiles as published, and the ridge
    regression's."""
    nights, quantiles = [], []
    model = champion = None
    trained_at = 0
    for origin, split in splits.items():
        known = series.until(origin + 1)
        first = series.sessions[split.validation.start]
        if model is None or origin >= trained_at + span.train_every or unscored(model, first):
            model, trained_at = (
                train_ticker(known, settings, DUE, start=None, folders=folders),
                origin,
            )
        champion_kept = champion is not None and same_forecast(model, champion)
        unseen = ScoringData.of(known, split, settings.evaluation, model)
        selection = select_model(unseen, model, champion, kept=champion_kept, simple_rows=False)
        champion = model if selection.promoted else champion
        own_skill = model.evidence.skill if model.evidence else None
        nights.append(
            BacktestNight(model.decision.mode, own_skill, selection.promoted, selection.publisher)
        )
        chosen = (selection.candidates[row] for row in (row_of(selection.publisher), RIDGE))
        # a view would keep every origin's
        quantiles.append(np.array([each.tonight[0] for each in chosen]))
    # of the last: its inputs were computed with all later bars there
    check_look_ahead(unseen, selection.candidates)
    return tuple(nights), *np.array(quantiles).swapaxes(0, 1)


def _rows_of_vintages(
    series: PriceSeries, origins: Indices, leads: Indices, folders: Sequence[Path]
) -> QuantileRows:
    """The rows that all vintages have, each origin's from the newest that end before it."""
    parts = [
        vintage_rows(series, origins[at], leads, vintages)
        for at, vintages in by_vintages(series.sessions[origins].tolist(), folders)
    ]
    everywhere = [name for name in parts[0][0] if all(name in quantiles for quantiles, _ in parts)]
    rows = {
        name: np.concatenate([quantiles[name] for quantiles, _ in parts]) for name in everywhere
    }
    return rows, {name: why for _, reasons in parts for name, why in reasons.items()}


def paths(
    series: PriceSeries, origins: Indices, leads: Indices, published: Floats
) -> dict[str, Floats]:
    """(m, leads) log(path / close of the origin) by row, the last close first.  published: (m,
    leads), likewise."""
    furthest, units = int(leads[-1]), to_newest_units(series)  # averages span changes of units
    simple = baseline_paths(units * series.close, origins, furthest)
    now = (units * series.close)[origins, None]
    return {
        LAST_CLOSE: np.zeros((len(origins), len(leads))),
        **{
            name: np.log(np.maximum(path[:, leads - 1], MIN_PATH * now)) - np.log(now)
            for name, path in simple.items()
        },
        PUBLISHED: published,
    }


def _scored(
    ticker: str,
    series: PriceSeries,
    origins: Indices,
    rows: Mapping[str, Floats],
    nights: tuple[BacktestNight, ...],
    outlook: tuple[ScoredStatement, ...],
    reasons: dict[str, str],
) -> TickerBacktest:
    leads, days = np.array(LEADS), series.sessions[origins]
    actual = moves(series, origins, leads)
    losses = {name: Losses.of(each, actual, leads) for name, each in rows.items()}
    width_losses = {
        name: Losses.of(symmetrised(each), actual, leads) for name, each in rows.items()
    }
    medians = paths(series, origins, leads, rows[PUBLISHED][..., MEDIAN])
    squares = {name: (actual - path) ** 2 / leads for name, path in medians.items()}
    errors = {
        row: Losses(x.mean(axis=1), np.array([x.mean(), *x.mean(axis=0)]))
        for row, x in squares.items()
    }

    def paired(one: Losses, other: Losses) -> PairedLosses:
        return PairedLosses(days, one.by_origin, other.by_origin, one.skills(other))

    published, centred = width_losses[PUBLISHED], width_losses[REGRESSION]
    references = {WITH_LOCATION: centred, LOCATION: published, AS_IT_IS: losses[REGRESSION]}
    return TickerBacktest(
        ticker=ticker,
        sessions=(days[0].item(), days[-1].item()),
        origins=len(days),
        scores={name: score(each, actual, losses[name]) for name, each in rows.items()},
        widths={name: paired(each, centred) for name, each in width_losses.items()},
        over={name: paired(published, each) for name, each in width_losses.items()},
        whole={row: paired(losses[PUBLISHED], each) for row, each in references.items()},
        paths={name: paired(each, errors[LAST_CLOSE]) for name, each in errors.items()},
        outlook=outlook,
        nights=nights,
        reasons=reasons,
    )
