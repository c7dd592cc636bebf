"""Training a ticker's model: from scratch, from the champion, or not at all.

Two networks come out of one procedure. `held_out` learns from the training part only; the validation part chooses
its epoch and its shrinkage; the test part is never touched. `published` then learns in the same way, for as many
epochs, from every session whose outcome is known.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stockml.errors import NoChampion
from stockml.features.scaling import FeatureScaler
from stockml.models import lstm
from stockml.models.forecaster import Forecaster
from stockml.models.retrain_policy import Decision, Facts
from stockml.models.trained_model import NETWORKS, TrainedModel, load_model, save
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
from stockml.storage.arrays import packed
from stockml.training import checkpoint, trainer
from stockml.training.checkpoint import EpochProgress
from stockml.training.trainer import TrainingSet


def train(
    series: PriceSeries,
    settings: Settings,
    decision: Decision,
    *,
    champion: Path | None,
    folder: Path,
    on_epoch: Callable[[EpochProgress], None] | None = None,
) -> TrainedModel:
    """Train on all of `series` as decided, write the model into `folder`, and return it.

    An interrupted call goes on from its last epoch and ends with the same weights. `champion` is the folder of the
    model to continue or keep. Raises TooFewBars, Diverged, NoChampion.
    """
    start = _start(decision, champion)
    if start is not None and decision.mode == "keep":
        model = replace(start, decision=decision, history=())
    elif settings.profile == "tutorial":
        from stockml.training.tutorial_night import train_tutorial

        model = train_tutorial(series, settings, decision, start=start, folder=folder, on_epoch=on_epoch)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        lesson = TrainingSet.of(series, settings)
        with lstm.MODEL_LOCK:
            model = _learn(lesson, decision, start, folder, on_epoch or (lambda _: None))
    save(model, folder)
    checkpoint.remove(folder)
    return model


def learning_sha256(settings: Settings) -> str:
    """Hash of the settings that a champion's weights depend on: all but the mode, the policy and the gate's."""
    kept = {name: part for name, part in settings.asdict().items() if name not in ("mode", "policy")}
    del kept["evaluation"]["replace_after_sessions"]
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def facts_about(
    champion: TrainedModel | None,
    series: PriceSeries,
    settings: Settings,
    *,
    same_code: bool = True,
    same_adjustment: bool = True,
    live_skill: float | None = None,
) -> Facts:
    """What `policy.decide` wants to know, as of the last session of `series`."""
    if champion is None:
        return Facts(has_champion=False)
    return Facts(
        has_champion=True,
        same_settings=learning_sha256(champion.settings) == learning_sha256(settings),
        same_code=same_code,
        same_adjustment=same_adjustment,
        new_sessions=int((series.sessions > champion.last_session).sum()),
        sessions_since_retrain=int((series.sessions > champion.retrained_at).sum()),
        scale_drift=champion.published.scale.drift(series),
        live_skill=live_skill,
    )


def _start(decision: Decision, champion: Path | None) -> TrainedModel | None:
    if decision.mode == "retrain":
        return None
    if champion is None:
        raise NoChampion("model", f"to {decision.mode} needs the folder of one; retrain first")
    return load_model(champion)


def _learn(
    lesson: TrainingSet,
    decision: Decision,
    start: TrainedModel | None,
    folder: Path,
    on_epoch: Callable[[EpochProgress], None],
) -> TrainedModel:
    settings = lesson.settings
    network = lstm.network(settings.network, settings.training, lesson.rows.shape[1], lesson.horizon)
    fingerprint = _fingerprint(lesson, start)
    progress = checkpoint.resume(folder, fingerprint)
    scales = {name: _scale(lesson, start, name) for name in NETWORKS}

    def ended(row: EpochProgress) -> None:
        progress.history.append(dict(vars(row)))
        checkpoint.save(folder, fingerprint, progress)
        on_epoch(row)

    while progress.network:
        name = progress.network
        network.reset(list(getattr(start, name).weights) if start else None)
        if progress.state is not None:
            network.restore(progress.state)
        trainer.fit(lesson, network, scales[name], progress, continued=start is not None, ended=ended)
        if name == "held_out":
            network.reset(progress.best)
            progress.residual_weight, progress.shrinkage = trainer.chosen_weights(lesson, network, scales[name])
        progress.finished[name] = network.weights()
        progress.network, progress.epoch, progress.state = _next(name), 0, None
    return _model(lesson, decision, start, scales, progress)


def _next(name: str) -> str:
    return "published" if name == "held_out" else ""


def _model(
    lesson: TrainingSet,
    decision: Decision,
    start: TrainedModel | None,
    scales: dict[str, FeatureScaler],
    progress: checkpoint.TrainingProgress,
) -> TrainedModel:
    sessions = lesson.series.sessions
    networks: dict[str, Any] = {
        name: Forecaster(
            network=lesson.settings.network,
            horizon=lesson.horizon,
            weights=tuple(progress.finished[name]),
            scale=scales[name],
            residual_weight=progress.residual_weight,
            shrinkage=progress.shrinkage,
            learned_until=sessions[lesson.learned_until(name)],
        )
        for name in NETWORKS
    }
    return TrainedModel(
        settings=lesson.settings,
        decision=decision,
        parts=lesson.parts,
        sessions=len(sessions),
        last_session=sessions[-1],
        retrained_at=sessions[-1] if start is None else start.retrained_at,
        history=tuple(progress.history),
        **networks,
    )


def _scale(lesson: TrainingSet, start: TrainedModel | None, name: str) -> FeatureScaler:
    """A champion's networks are continued in the scale that they were learned in."""
    if start is not None:
        scale: FeatureScaler = getattr(start, name).scale
        return scale
    return FeatureScaler.fit(lesson.series.until(lesson.learned_until(name) + 1))


def _fingerprint(lesson: TrainingSet, start: TrainedModel | None) -> str:
    """What a checkpoint must agree on to be continued: the settings, the bars and the weights it started from."""
    digest = hashlib.sha256(learning_sha256(lesson.settings).encode())
    for values in vars(lesson.series).values():
        digest.update(np.ascontiguousarray(values).tobytes())
    if start is not None:
        for name in NETWORKS:
            digest.update(packed(getattr(start, name).weights))
    return digest.hexdigest()
