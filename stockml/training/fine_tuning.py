"""Train a pretrained network's weights further on one ticker: a few small steps, with replay of
many tickers.

Every batch holds stretches of the ticker's own and, for the rest, stretches that the pretrained
network learned from, so that what it knows of all tickers is kept while it learns the one.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from stockml.errors import Diverged
from stockml.models.pretrained_network import Member, PretrainedNetwork
from stockml.models.replay import Replay, Stretches
from stockml.settings import NetworkSettings, TrainingSettings
from stockml.storage.arrays import Floats, Indices
from stockml.training.network_trainer import MemberSettings, Trainer, shape_of, steps_of

History = tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Course:
    """How far a training goes.  fresh_first: whether what is new to the network comes first."""

    steps: int
    learning_rate: float
    fresh_first: bool

    @classmethod
    def of(cls, training: TrainingSettings, *, continues: bool) -> "Course":
        """That of a retrain or, where a champion is continued, of a fine-tune."""
        if continues:
            return cls(training.fine_tune_steps, training.fine_tune_learning_rate, fresh_first=True)
        return cls(training.steps, training.learning_rate, fresh_first=False)


def fine_tune(
    start: PretrainedNetwork,
    own: Stretches,
    replay: Replay,
    course: Course,
    network: NetworkSettings,
    training: TrainingSettings,
    fresh: Indices,
) -> tuple[PretrainedNetwork, History]:
    """The network after a few steps from `start`, and a row for each step: its loss and rate, the
    members' mean.

    own: the ticker's stretches, at least one.  fresh: rows of `own` that are new to the network,
    which come first where the course says so.  Equal arguments give equal weights, whatever was
    trained before in this process. Raises Diverged.
    """
    member_settings = MemberSettings(
        dropout=network.dropout,
        weight_decay=0.0,
        batch=training.batch_size,
        optimizer=training.optimizer,
    )
    rates, began = cosine(course), time.monotonic()
    members, losses = [], []
    for number, member in enumerate(start.members):
        trainer, untrained = _trainer(member_settings)
        weights, steps = member.arrays()[:-1], steps_of(member.shape)
        trainer.restore([*weights, steps, *untrained])
        rng = np.random.default_rng((training.seed, number))
        batches = _batches(own, replay.stretches, course, training, fresh, rng)
        losses.append(trainer.fit(batches, rates, (training.seed, number)))
        if not np.isfinite(losses[-1]).all():
            raise Diverged(int(np.flatnonzero(~np.isfinite(losses[-1]))[0]) + 1, float("nan"))
        *trained, last_steps = trainer.state()[: len(weights) + 1]
        share = training.start_share
        mixed = [share * old + (1 - share) * new for old, new in zip(weights, trained, strict=True)]
        mixed.append(share * member.shape + (1 - share) * shape_of(last_steps))
        members.append(Member.of([np.asarray(each, dtype=np.float32) for each in mixed]))
    seconds = (time.monotonic() - began) / course.steps
    history = [
        {"step": step, "loss": float(loss), "learning_rate": float(rate), "seconds": seconds}
        for step, (loss, rate) in enumerate(zip(np.mean(losses, axis=0), rates, strict=True), 1)
    ]
    return replace(start, members=tuple(members)), tuple(history)


def cosine(course: Course) -> Floats:
    """(steps,) rates, from the first on half a cosine towards 0."""
    passed = np.arange(course.steps) / course.steps
    return np.asarray(course.learning_rate * (1 + np.cos(np.pi * passed)) / 2, dtype=np.float64)


def _batches(
    own: Stretches,
    replay: Stretches,
    course: Course,
    training: TrainingSettings,
    fresh: Indices,
    rng: np.random.Generator,
) -> Iterator[Stretches]:
    """A batch for each step: the share of own stretches that was asked for, at most all there are;
    else replay."""
    count = min(round(training.own_share * training.batch_size), len(own))
    own_rows = _order(len(own), count * course.steps, rng)
    if course.fresh_first:
        own_rows = np.concatenate([fresh, own_rows])[: len(own_rows)]
    rest = training.batch_size - count
    replayed = _order(len(replay), rest * course.steps, rng)
    for step in range(course.steps):
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
