"""Learn a pretrained network from many tickers, member by member, epoch by epoch; if killed, it can
be resumed."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np

from stockml.code_version import code_hash
from stockml.errors import Diverged, InvalidSetting
from stockml.models.pretrained_network import PretrainedNetwork, Stretches
from stockml.models.regressions import MEDIAN, HarRegression, RidgeRegression
from stockml.models.vintage_store import digest
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Indices
from stockml.training import checkpoint
from stockml.training.network_trainer import (
    MemberSettings,
    Trainer,
    TrainingSet,
    cosine_rates,
    member_of,
)


@dataclass(frozen=True)
class PretrainProgress:
    """An epoch that has just ended; loss: mean pinball in units of the EWMA 60 volatility ·
    √lead."""

    member: str
    epoch: int
    epochs: int
    loss: float
    seconds: float
    seconds_left: float


def pretrain(
    series: Mapping[str, PriceSeries],
    until: date,
    regression: HarRegression,
    ridge: RidgeRegression,
    *,
    folder: Path,
    members: Sequence[MemberSettings],
    on_epoch: Callable[[PretrainProgress], None] = lambda _: None,
) -> tuple[PretrainedNetwork, Stretches]:
    """Learn one network, which corrects `ridge`, itself a correction of `regression`, from what is
    known by `until`.

    An interrupted call resumes from its last epoch, kept in `folder` until the caller removes it,
    and ends with the same weights; equal bars and settings give equal weights. `on_epoch` is called
    for every epoch, first for those of an earlier, interrupted call. Also returns the stretches
    that it learned from. Its scores are its training losses; measuring its skill is up to the
    caller. Raises TooFewBars, Diverged, and InvalidSetting for a regression that has seen sessions
    after `until`.
    """
    if (through := max(regression.through, ridge.through)) > until:
        raise InvalidSetting("the regressions' last session", str(through), f"{until} or before")
    examples = TrainingSet.of(series, until, regression, ridge)
    facts = [
        code_hash("training.pretrain"),
        examples.sha256(),
        digest(ridge),
        *map(asdict, members),
    ]
    fingerprint = hashlib.sha256(
        json.dumps(facts).encode()
    ).hexdigest()  # all that a checkpoint must agree on
    progress = checkpoint.resume(folder, fingerprint)
    for row in progress.history:
        on_epoch(PretrainProgress(**row))

    for index, settings in enumerate(members):
        if settings.name in progress.arrays:
            continue
        if progress.network != settings.name:
            progress.network, progress.epoch = settings.name, 0
        later = sum(each.epochs for each in members[index + 1 :])
        trainer = Trainer(settings, ridge.shape[:, MEDIAN + 1 :])
        if progress.epoch:
            trainer.restore(progress.arrays["state"])
        for epoch in range(progress.epoch + 1, settings.epochs + 1):
            began = time.monotonic()
            order = batches(len(examples.stretches), settings.batch, (settings.seed, epoch))
            rates = cosine_rates(settings.learning_rate, len(order), epoch, settings.epochs)
            steps = map(examples.stretches.at, order)
            loss = float(np.mean(trainer.fit(steps, rates, (settings.seed, epoch))))
            if not np.isfinite(loss):
                raise Diverged(epoch, loss)
            progress.epoch, progress.arrays["state"] = epoch, trainer.state()
            seconds = time.monotonic() - began
            seconds_left = seconds * (settings.epochs - epoch + later)
            epoch_progress = PretrainProgress(
                settings.name, epoch, settings.epochs, loss, seconds, seconds_left
            )
            progress.history.append(asdict(epoch_progress))
            checkpoint.save(folder, fingerprint, progress)
            on_epoch(epoch_progress)
        progress.arrays[settings.name] = trainer.state()
    networks = [member_of(settings, progress.arrays[settings.name]) for settings in members]
    scores = {f"loss, {row['member']}": round(row["loss"], 6) for row in progress.history}
    network = PretrainedNetwork(
        **vars(examples.learned_from), scale=examples.scale, members=tuple(networks), scores=scores
    )
    return network, examples.stretches


def batches(count: int, size: int, seed: tuple[int, int]) -> Indices:
    """(batches, size) row numbers below `count`, shuffled by `seed`, each at most once: a remainder
    is dropped."""
    size = min(size, count)
    return np.random.default_rng(seed).permutation(count)[: count // size * size].reshape(-1, size)
