"""How good the published outlook was: its volatility and its chances against what came true, on a
night's origins."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stockml.evaluation.distribution_scores import PairedLosses, panel_diebold_mariano
from stockml.forecasts.outlook import (
    FALLS,
    MOVES,
    SESSIONS_A_YEAR,
    SPANS,
    TOUCH_SESSIONS,
    Touch,
    annualised,
    chance_above,
    chance_beyond,
    chance_of_fall,
    lowest_lows,
    own_frequencies,
    touch_chance,
)
from stockml.forecasts.proper_scores import DieboldMariano, brier, diebold_mariano, overlap, qlike
from stockml.models.regressions import moves
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Days, Floats, Indices

VOLATILITY, RISE, FALL = "volatility", "rise", f"over {MOVES[0]:.0%} lower"
MIN_ORIGINS = 10  # origins: whoever calls a rare event rarer wins until it happens
LARGE_MOVES = {f"over ±{move:.0%}": move for move in MOVES}


@dataclass(frozen=True)
class OutlookScore:
    """One statement of the outlook against what came true, on m origins.

    what: VOLATILITY, scored by QLIKE; RISE, FALL or one of LARGE_MOVES, chances, by Brier's score;
    lower is better. said, came_true: on average; the volatility annualised and from close to close,
    as a fraction, else a chance and the share of origins.  constant: the score of always saying
    `came_true`, in hindsight.  network_adds: 1 − score / that of the same procedure without a
    network; test: of that difference.  Both None without a network, and for an event that happened,
    or did not, after fewer than MIN_ORIGINS origins; the test also with too few origins.
    """

    what: str
    sessions: int
    said: float
    came_true: float
    score: float
    constant: float
    network_adds: float | None
    test: DieboldMariano | None


ScoredStatement = tuple[OutlookScore, PairedLosses | None]
"""With the losses beside those without a network, if `network_adds` is known."""


def outlook_scores(
    series: PriceSeries, origins: Indices, published: Floats, simple: Floats | None
) -> tuple[ScoredStatement, ...]:
    """Score each statement about each of SPANS; not the volatility where the close stood still for
    a whole span.

    origins: (m,), with known outcomes.  published, simple: (m, horizon, 21), quantiles at LEVELS of
    log(close / close of the origin), as published and by the same procedure without a network; None
    where that is what was published.
    """
    scores, squares = [], np.diff(np.log(series.close)) ** 2
    # even of short spans: two volatilities differ for longer than these last
    overlapping = overlap(origins, SPANS[-1])
    days = series.sessions[origins]
    for span in (span for span in SPANS if span <= published.shape[1]):
        said = [
            _statements(each[:, span - 1], span) for each in (published, simple) if each is not None
        ]
        moved = np.expm1(moves(series, origins, np.array([span]))[:, 0])
        variance = np.array([squares[origin : origin + span].mean() for origin in origins])
        outcomes = {
            VOLATILITY: SESSIONS_A_YEAR * variance,
            RISE: moved > 0,
            FALL: moved < -MOVES[0],
            **{what: np.abs(moved) > move for what, move in LARGE_MOVES.items()},
        }
        if not variance.all():
            del outcomes[VOLATILITY]
        for what, outcome in outcomes.items():
            forecasts, came = [each[what] for each in said], outcome.astype(np.float64)
            days = series.sessions[origins]
            scores.append(_scored(what, span, forecasts, came, days, overlapping))
    return tuple(scores)


def _statements(quantiles: Floats, span: int) -> dict[str, Floats]:
    """(m,) annualised variances, and chances.  quantiles: (m, 21), of the moves over the span."""
    return {
        VOLATILITY: annualised(quantiles, span) ** 2,
        RISE: chance_above(quantiles, 0.0),
        FALL: chance_of_fall(quantiles, MOVES[0]),
        **{what: chance_beyond(quantiles, move) for what, move in LARGE_MOVES.items()},
    }


@dataclass(frozen=True)
class OutlookLine:
    """A statement's scores as means over tickers.  network_adds, share: in percent, over the
    `compared` among them.

    p_value: two-sided, of what the network adds, by calendar time over these.
    """

    what: str
    sessions: int
    tickers: int
    said: float
    came_true: float
    score: float
    constant: float
    network_adds: float | None
    share: float | None
    p_value: float | None
    compared: int


def outlook_lines(tickers: Sequence[Sequence[ScoredStatement]]) -> list[OutlookLine]:
    """One for each statement that some ticker's backtest has scored."""
    by_statement: dict[tuple[str, int], list[ScoredStatement]] = {}
    for statement in (statement for statements in tickers for statement in statements):
        by_statement.setdefault((statement[0].what, statement[0].sessions), []).append(statement)
    return [_line(*key, statements) for key, statements in by_statement.items()]


def _line(what: str, sessions: int, statements: Sequence[ScoredStatement]) -> OutlookLine:
    scores, gains = [score for score, _ in statements], [gain for _, gain in statements if gain]
    adds = np.array([100 * gain.skills[0] for gain in gains])
    test = panel_diebold_mariano(gains) if gains else None
    return OutlookLine(
        what,
        sessions,
        tickers=len(scores),
        said=float(np.mean([each.said for each in scores])),
        came_true=float(np.mean([each.came_true for each in scores])),
        score=float(np.mean([each.score for each in scores])),
        constant=float(np.mean([each.constant for each in scores])),
        network_adds=float(adds.mean()) if gains else None,
        share=100 * float((adds > 0).mean()) if gains else None,
        p_value=test.p_value if test else None,
        compared=len(gains),
    )


def touches(
    series: PriceSeries, origins: Indices, published: Floats, tonight: Floats
) -> tuple[Touch, ...]:
    """Tonight's chance of touching each of FALLS, and how such chances scored from earlier origins.

    series: through tonight.  origins: (m,), with known outcomes.  published: (m, horizon, 21),
    quantiles at LEVELS of log(close / close of the origin); tonight: (horizon, 21).  Empty for a
    horizon below 20 sessions.
    """
    if len(tonight) < TOUCH_SESSIONS:
        return ()
    lows, newest, found = lowest_lows(series), np.array([len(series) - 1]), []
    for fall in FALLS:
        own = own_frequencies(lows, origins, fall)
        scored = np.isfinite(own)
        chances = touch_chance(published[scored, TOUCH_SESSIONS - 1], fall)
        happened = lows[origins[scored]] <= np.log1p(-fall)
        skill = None
        if min(np.count_nonzero(happened), np.count_nonzero(~happened)) >= MIN_ORIGINS:
            skill = float(1 - brier(chances, happened).mean() / brier(own[scored], happened).mean())
        [now] = own_frequencies(lows, newest, fall)
        found.append(
            Touch(
                TOUCH_SESSIONS,
                fall,
                chance=float(touch_chance(tonight[TOUCH_SESSIONS - 1], fall)),
                own_frequency=float(now) if np.isfinite(now) else None,
                skill=skill,
                origins=len(happened),
                happened=float(happened.mean()) if len(happened) else None,
            )
        )
    return tuple(found)


def _scored(
    what: str,
    span: int,
    forecasts: list[Floats],
    outcomes: Floats,
    sessions: Days,
    overlapping: int,
) -> ScoredStatement:
    """forecasts: (m,) each, as published and, if with a network, without one.  sessions: (m,), of
    the origins."""
    loss_of, shown = (qlike, np.sqrt) if what == VOLATILITY else (brier, float)
    loss, *other = (loss_of(each, outcomes) for each in forecasts)
    mean, frequency, gain, test = float(loss.mean()), outcomes.mean(), None, None
    if other and min(np.count_nonzero(outcomes), np.count_nonzero(outcomes != 1)) >= MIN_ORIGINS:
        gain = PairedLosses(sessions, loss, other[0], (1 - mean / float(other[0].mean()),))
        test = diebold_mariano(loss, other[0], overlapping)
    scored = OutlookScore(
        what,
        span,
        said=float(shown(forecasts[0].mean())),
        came_true=float(shown(frequency)),
        score=mean,
        constant=float(loss_of(np.full(len(loss), frequency), outcomes).mean()),
        network_adds=gain.skills[0] if gain else None,
        test=test,
    )
    return scored, gain
