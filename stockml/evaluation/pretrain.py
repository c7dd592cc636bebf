"""The pretrain step: regressions, a network and its replay, learned across tickers, kept as the
home's own vintages."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

from stockml.errors import TooFewTickers
from stockml.evaluation.distribution_scores import Losses
from stockml.home import HomePaths
from stockml.models.pretrained_network import PretrainedNetwork, Replay
from stockml.models.regressions import (
    LEADS,
    HarRegression,
    RidgeRegression,
    learning_origins,
    moves,
    symmetrised,
)
from stockml.models.vintage_set import VintageSet, keep_superseded
from stockml.models.vintage_store import digest, file_name, write
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Indices
from stockml.storage.locks import file_lock
from stockml.training.network_trainer import members_of
from stockml.training.pretrain import PretrainProgress, pretrain

# the shipped vintages learned from 100, and a newer one replaces them whatever it scores:
MIN_TICKERS = 30
# a regression of 30 such tickers was as good as the shipped, one of 170 sessions much worse
MIN_SESSIONS = 2_000
BUSY_WAIT_S = 5.0
MEASURED_EVERY = 10  # learning origins, 5 sessions apart: so 50-session outcomes do not overlap
SKILL, SHARE = "learned: CRPS over the regression", "learned: tickers that gain, %"


def pretrain_network(
    home: HomePaths,
    series: Mapping[str, PriceSeries],
    until: date,
    *,
    seeds: int = 2,
    fewest_sessions: int = MIN_SESSIONS,
    on_epoch: Callable[[PretrainProgress], None] = lambda _: None,
) -> tuple[PretrainedNetwork, Path]:
    """Learn from the bars through `until`, write the four files, and return the network with its
    path.

    Needs 30 tickers of `fewest_sessions`, and then also learns from the shorter ones. An
    interrupted call, made again, resumes from its last epoch; a completed one learns nothing more,
    until `maintenance` removes its checkpoints. Nights of later sessions use them; files of the
    same month that they replace are kept aside for the models built on them. Raises TooFewTickers,
    TooFewBars, Diverged, StoreBusy.
    """
    known = {ticker: each.through(until) for ticker, each in series.items()}
    usable = {ticker: bars for ticker, bars in known.items() if len(learning_origins(bars))}
    n_long = sum(len(bars) >= fewest_sessions for bars in usable.values())
    if n_long < MIN_TICKERS:
        raise TooFewTickers(MIN_TICKERS, fewest_sessions, until, n_long)
    with file_lock(home.locks / "pretrain.lock", BUSY_WAIT_S):
        regression = HarRegression.fit(usable, until)
        ridge = RidgeRegression.fit(usable, until, regression)
        pretrained, stretches = pretrain(
            usable,
            until,
            regression,
            ridge,
            folder=home.pretraining / str(regression.through),
            members=members_of(seeds),
            on_epoch=on_epoch,
        )
        pretrained = _with_scores(VintageSet(regression, ridge, pretrained), pretrained, usable)
        replay = Replay.of(stretches, pretrained, digest(pretrained))
        # only now: a night meanwhile would use the old network with the new ridge; the largest
        # first: disks may be full
        for each in (replay, pretrained, ridge, regression):
            keep_superseded(home.pretrained, each)
            write(each, home.pretrained)
    return pretrained, home.pretrained / file_name(pretrained)


def _with_scores(
    vintages: VintageSet, pretrained: PretrainedNetwork, series: Mapping[str, PriceSeries]
) -> PretrainedNetwork:
    """With SKILL and SHARE among its scores, on what it learned from."""
    origins = {ticker: learning_origins(bars)[::MEASURED_EVERY] for ticker, bars in series.items()}
    skill, gaining = pretrained_score(vintages, series, origins)
    scores = {**pretrained.scores, SKILL: round(skill, 6), SHARE: round(gaining, 1)}
    return replace(pretrained, scores=scores)


def pretrained_score(
    vintages: VintageSet, series: Mapping[str, PriceSeries], origins: Mapping[str, Indices]
) -> tuple[float, float]:
    """Mean CRPS skill of the pretrained network over the regression, both symmetrised, and the
    share (%) of tickers that gain.

    A skill of 0.003 is 0.3 % better.  origins: (m,) by ticker, scored at LEADS; a ticker whose
    price stood still is left out.  Raises ValueError where no ticker is left.
    """
    leads, skills = np.array(LEADS), list[float]()
    assert vintages.regression is not None
    for ticker, at in sorted(origins.items()):
        if len(at):
            actual = moves(series[ticker], at, leads)
            network = vintages.network_quantiles(series[ticker], at, leads)
            simple = symmetrised(vintages.regression.quantiles(series[ticker], at, leads))
            loss, reference = (Losses.of(each, actual, leads) for each in (network, simple))
            skills.append(loss.skills(reference)[0])
    finite = np.array(skills)[np.isfinite(skills)]
    if not len(finite):
        raise ValueError("expected a ticker whose price moves, found none")
    return float(finite.mean()), 100 * float((finite > 0).mean())
