"""A ticker's training: all weights of the pretrained network, or the champion's, a few small steps
further, with replay of many tickers.

`held_out` starts from a pretrained network that ends before the first unseen origin, and learns
from outcomes known by then; `published` starts from the newest and learns from all outcomes. What
training gains is measured on the validation part; where that is nothing, the pretrained network
forecasts alone. Every batch holds stretches of the ticker's own and, for the rest, stretches that
the pretrained network learned from, so that what it knows of all tickers is kept.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from stockml.errors import Diverged, InvalidFile, quantity
from stockml.features.origins import OriginSplit, check_segments, scored_origins, split_origins
from stockml.forecasts.proper_scores import crps
from stockml.models.pretrained_network import Member, PretrainedNetwork, Replay, Stretches
from stockml.models.regressions import LEADS, learning_origins, moves
from stockml.models.trained_model import Decision, Evidence, Network, TickerNetwork, TrainedModel
from stockml.models.vintage_set import VintageSet, oldest_through, replay_of
from stockml.models.vintage_store import SHIPPED
from stockml.prices.calendar import A_DAY
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings, Settings, TrainingSettings
from stockml.storage.arrays import Indices
from stockml.training.network_trainer import (
    MemberSettings,
    Trainer,
    cosine_rates,
    shape_of,
    steps_of,
    stretches_of,
)

History = tuple[dict[str, Any], ...]


def split_after_vintages(
    series: PriceSeries, evaluation: EvaluationSettings, folders: Sequence[Path] = (SHIPPED,)
) -> OriginSplit:
    """Split the origins, the unseen ones after the oldest vintage.  Raises TooFewBars, also for a
    recent hole."""
    oldest = oldest_through(folders)
    first = 0 if oldest is None else len(series.through(oldest))
    if first >= len(series) - evaluation.horizon:  # no vintage is old enough: scores do without one
        first = 0
    split = split_origins(len(series), evaluation, first)
    check_segments(series, split, evaluation)
    return split


def train_ticker(
    series: PriceSeries,
    settings: Settings,
    decision: Decision,
    *,
    start: TrainedModel | None,
    folders: Sequence[Path] = (SHIPPED,),
) -> TrainedModel:
    """Train from the pretrained network or, with `start`, from that model's. Raises TooFewBars,
    Diverged.

    The decision becomes "pretrained", with the reason, where nothing can be trained, or training
    did not help.
    """
    split = split_after_vintages(series, settings.evaluation, folders)
    first, after = series.sessions[split.validation.start], series.sessions[-1] + A_DAY
    vintages, newest = (VintageSet.ending_before(day.item(), folders) for day in (first, after))
    training = TickerTraining(series, settings, folders)
    held_out = training.untrained(vintages, split.validation.start)
    published = training.untrained(newest, len(series))
    history: History = ()
    evidence = None
    reason = _untrainable(held_out, series, split, settings.evaluation)
    if reason is None:
        try:
            held_out, rows = training.trained(held_out, start.held_out if start else None)
            history += _rows("held_out", rows)
            evidence = _evidence(held_out, series, split, settings.evaluation)
            if evidence.skill > 0:
                held_out = replace(held_out, used=True)
                published, rows = training.trained(published, start.published if start else None)
                history += _rows("published", rows)
                published = replace(published, used=True)
        except InvalidFile as damaged:
            held_out, reason = replace(held_out, used=False), str(damaged)
    return TrainedModel(
        settings=settings,
        decision=_with_evidence(decision, evidence, reason),
        held_out=held_out,
        published=published,
        parts=split,
        sessions=len(series),
        last_session=series.sessions[-1],
        retrained_at=series.sessions[-1] if start is None else start.retrained_at,
        evidence=evidence,
        history=history,
    )


@dataclass(frozen=True, eq=False)
class TickerTraining:
    """What a ticker's networks are trained by: its series, the settings, and where the vintages'
    replay lies."""

    series: PriceSeries
    settings: Settings
    folders: Sequence[Path]

    def untrained(self, vintages: VintageSet, stop: int) -> TickerNetwork:
        """The pretrained network as of session `stop`, which may learn from the sessions before
        it."""
        last, through = self.series.sessions[stop - 1], vintages.through
        seen = last if through is None else max(last, np.datetime64(through))
        return TickerNetwork(vintages, None, used=False, learned_until=seen)

    def trained(
        self, network: TickerNetwork, start: Network | None
    ) -> tuple[TickerNetwork, History]:
        """The network trained on outcomes known by its `learned_until`, from `start` if that is of
        its vintages.

        Raises InvalidFile where its vintage's replay is missing or damaged, Diverged.
        """
        vintages = network.vintages
        regression, ridge, pretrained = vintages.complete
        begin, known = pretrained, self.series.through(network.learned_until)
        own = stretches_of(known, begin.scale, regression, ridge)
        fresh = None
        if (
            isinstance(start, TickerNetwork)
            and start.vintages.identity() == vintages.identity()
            and start.learned_until
            <= network.learned_until  # parts may begin earlier; nothing can be unlearned
        ):
            begin = (start.fine_tuned if start.used else None) or begin
            fresh = np.flatnonzero(own.last > start.learned_until)
        replay = replay_of(pretrained, self.folders)
        fine_tuned, history = fine_tune(begin, own, replay, self.settings, fresh)
        return replace(network, fine_tuned=fine_tuned), history


def _rows(network: str, history: History) -> History:
    return tuple({"network": network, **row} for row in history)


def _untrainable(
    network: TickerNetwork, series: PriceSeries, split: OriginSplit, evaluation: EvaluationSettings
) -> str | None:
    """Why the network cannot be trained, or its training not be judged; None where both can."""
    vintages = network.vintages
    if vintages.pretrained is None:
        return "; ".join(vintages.reasons.values())
    if not len(scored_origins(series, split.validation, evaluation)):
        return (
            f"{quantity(len(series), 'session')} are too few to learn from and to judge it on "
            "others"
        )
    if not len(learning_origins(series.through(network.learned_until))):
        return "no outcome is known before the sessions that judge it"
    return None


def _evidence(
    network: TickerNetwork, series: PriceSeries, split: OriginSplit, evaluation: EvaluationSettings
) -> Evidence:
    """What training gained on the validation part, over the pretrained network left alone."""
    at = scored_origins(series, split.validation, evaluation)
    leads = np.array([lead for lead in LEADS if lead <= evaluation.horizon])
    actual, forecast = moves(series, at, leads), network.vintages.network_quantiles
    quantiles = forecast(series, at, leads, network.fine_tuned), forecast(series, at, leads)
    loss, reference = (float((crps(each, actual) / np.sqrt(leads)).mean()) for each in quantiles)
    return Evidence(1 - loss / reference if reference > 0 else 0.0, len(at))


def _with_evidence(decision: Decision, evidence: Evidence | None, why_not: str | None) -> Decision:
    """The decision with what training gained; to keep the pretrained network where that is not
    above zero."""
    if evidence is None:
        return Decision("pretrained", f"not trained: {why_not}")
    origins = quantity(evidence.origins, "validation origin")
    gain = f"training gained {evidence.skill:+z.3%} of CRPS on {origins}"
    if why_not is None and evidence.skill > 0:
        return Decision(decision.mode, f"{decision.reason}; {gain}")
    why = f" ({why_not})" if why_not else ""
    left_alone = f"kept the pretrained network: training did not help; {gain}{why}"
    return Decision("pretrained", f"{left_alone} ({decision.mode}: {decision.reason})")


def fine_tune(
    start: PretrainedNetwork,
    own: Stretches,
    replay: Replay,
    settings: Settings,
    fresh: Indices | None = None,
) -> tuple[PretrainedNetwork, History]:
    """The network after a few steps from `start`, and a row for each step: its loss and rate, the
    members' mean.

    own: the ticker's stretches, at least one.  fresh: where a champion is continued, rows of `own`
    that are new to it, which come first.  Equal arguments give equal weights, whatever was trained
    before in this process. Raises Diverged.
    """
    training = settings.training
    first, count = training.learning_rate, training.steps
    if fresh is not None:
        first, count = training.fine_tune_learning_rate, training.fine_tune_steps
    member_settings = MemberSettings(
        dropout=settings.network.dropout,
        weight_decay=0.0,
        batch=training.batch_size,
        optimizer=training.optimizer,
    )
    rates, began = cosine_rates(first, count), time.monotonic()
    members, losses = [], []
    for number, member in enumerate(start.members):
        trainer, untrained = _trainer(member_settings)
        weights, steps = member.arrays()[:-1], steps_of(member.shape)
        trainer.restore([*weights, steps, *untrained])
        rng = np.random.default_rng((training.seed, number))
        batches = _batches(own, replay.stretches, training, count, fresh, rng)
        losses.append(trainer.fit(batches, rates, (training.seed, number)))
        if not np.isfinite(losses[-1]).all():
            raise Diverged(int(np.flatnonzero(~np.isfinite(losses[-1]))[0]) + 1, float("nan"))
        *trained, last_steps = trainer.state()[: len(weights) + 1]
        share = training.start_share
        mixed = [share * old + (1 - share) * new for old, new in zip(weights, trained, strict=True)]
        mixed.append(share * member.shape + (1 - share) * shape_of(last_steps))
        members.append(Member.of([np.asarray(each, dtype=np.float32) for each in mixed]))
    seconds = (time.monotonic() - began) / count
    history = [
        {"step": step, "loss": float(loss), "learning_rate": float(rate), "seconds": seconds}
        for step, (loss, rate) in enumerate(zip(np.mean(losses, axis=0), rates, strict=True), 1)
    ]
    return replace(start, members=tuple(members)), tuple(history)


def _batches(
    own: Stretches,
    replay: Stretches,
    training: TrainingSettings,
    steps: int,
    fresh: Indices | None,
    rng: np.random.Generator,
) -> Iterator[Stretches]:
    """A batch for each step: the share of own stretches that was asked for, at most all there are;
    else replay."""
    count = min(round(training.own_share * training.batch_size), len(own))
    own_rows = _order(len(own), count * steps, rng)
    if fresh is not None:
        own_rows = np.concatenate([fresh, own_rows])[: len(own_rows)]
    rest = training.batch_size - count
    replayed = _order(len(replay), rest * steps, rng)
    for step in range(steps):
        mine = own.at(own_rows[step * count : (step + 1) * count])
        yield Stretches.joined([mine, replay.at(replayed[step * rest : (step + 1) * rest])])


def _order(rows: int, count: int, rng: np.random.Generator) -> Indices:
    """(count,) rows, all once in random order before any comes again."""
    passes = [rng.permutation(rows) for _ in range(-(-count // rows))]
    return np.concatenate([np.empty(0, np.int64), *passes])[:count]


@cache
def _trainer(settings: MemberSettings) -> tuple[Trainer, list[Any]]:
    """A trainer, traced once in a process, and its optimiser's state before any step."""
    trainer = Trainer(settings, np.tile(np.arange(1.0, 11.0), (11, 1)))
    return trainer, trainer.state()[trainer.learned :]
