"""Train a ticker's model: from the pretrained network, the champion, or not at all; or by the
tutorial's recipe."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from stockml.errors import NoChampion, TooFewBars
from stockml.features.origins import every_nth, split_origins
from stockml.models.forecasters import PackagedForecaster, registered
from stockml.models.trained_model import (
    NETWORKS,
    Decision,
    Facts,
    TrainedModel,
    load_model,
    save,
    unscored,
    vintage_folders,
)
from stockml.models.tutorial_recipe import TutorialForecaster, TutorialScale
from stockml.models.vintage_set import VintageSet
from stockml.models.vintage_store import SHIPPED
from stockml.prices.calendar import A_DAY
from stockml.prices.series import PriceSeries
from stockml.settings import LSTM, Settings, check_choice, night_settings
from stockml.training.checkpoint import EpochProgress
from stockml.training.ticker_training import split_after_vintages, train_ticker
from stockml.training.tutorial import VALIDATION_SHARE, Recipe, fit


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

    An interrupted call, repeated, ends with the same weights; the tutorial's resumes from its last
    epoch. `champion` is the folder of the model to continue or keep. Raises TooFewBars, Diverged,
    NoChampion, InvalidSetting.
    """
    start = None
    if decision.mode != "retrain":
        if champion is None:
            raise NoChampion(
                "model", f"expected the folder of one to {decision.mode}, found none; retrain first"
            )
        start = load_model(champion)
    if start is not None and decision.mode == "keep":
        model = replace(start, decision=decision, history=())
    elif settings.profile == "tutorial":
        model = _train_tutorial(series, settings, decision, start, folder, on_epoch)
    elif settings.training.forecaster != LSTM:
        model = _fit_packaged(series, settings, decision, vintage_folders(folder))
    else:
        model = train_ticker(
            series, settings, decision, start=start, folders=vintage_folders(folder)
        )
    save(model, folder)
    return model


def _fit_packaged(
    series: PriceSeries, settings: Settings, decision: Decision, folders: Sequence[Path]
) -> TrainedModel:
    """By another package's forecaster, on the sessions that a network would learn from."""
    check_choice(
        "training.forecaster", settings.training.forecaster, (LSTM, *sorted(registered().names))
    )
    split = split_after_vintages(series, settings.evaluation, folders)
    held_out, published = (
        PackagedForecaster.tried(settings.training.forecaster, series.until(end))
        for end in (split.validation.start, len(series))
    )
    if fault := held_out.fault or published.fault:
        decision = replace(decision, reason=f"{decision.reason}; {fault}")
    return TrainedModel(
        settings=settings,
        decision=decision,
        held_out=held_out,
        published=published,
        parts=split,
        sessions=len(series),
        last_session=series.sessions[-1],
        retrained_at=series.sessions[-1],
    )


def _train_tutorial(
    series: PriceSeries,
    settings: Settings,
    decision: Decision,
    start: TrainedModel | None,
    folder: Path,
    on_epoch: Callable[[EpochProgress], None] | None,
) -> TrainedModel:
    """Both networks of a night by the tutorial's recipe; `start` is the model to fine-tune.

    `held_out` learns from the sessions before the validation and test parts, `published` from all;
    each keeps its own newest eleventh to decay on. The paths of `held_out` on the test part after
    each epoch are kept for display.
    """
    training, horizon = night_settings(settings).training, settings.evaluation.horizon
    split = split_origins(len(series), settings.evaluation)
    training_series = training_part(series, settings)
    if start is not None:
        training = training.changed(
            epochs=training.fine_tune_epochs, learning_rate=training.fine_tune_learning_rate
        )
    networks: dict[str, Any] = {}
    history: list[dict[str, Any]] = []
    for name, end, watched in (
        ("held_out", len(training_series), every_nth(split.test, horizon)),
        ("published", len(series), np.empty(0, np.int64)),
    ):
        recipe = Recipe.of(series.mid, end, settings.changed(training=training), test=watched + 1)
        weights = None if start is None else getattr(start, name).weights
        fitted = fit(
            recipe, folder=folder / f"_{name}", name=name, start=weights, on_epoch=on_epoch
        )
        scale = TutorialScale.of(recipe.prepared, series.sessions)
        networks[name] = TutorialForecaster(
            recipe.settings, fitted.weights, scale, series.sessions[end - 1]
        )
        for row, paths in zip(fitted.history, fitted.test_predictions, strict=True):
            history.append(
                {figure: value for figure, value in row.items() if figure != "seconds_left"}
            )
            if len(watched):  # its paths in price
                history[-1]["watched"] = np.round(
                    recipe.prepared.prices(watched, paths), 4
                ).tolist()
    for name in NETWORKS:
        # the checkpoint, and what a killed attempt left half written
        shutil.rmtree(folder / f"_{name}")
    return TrainedModel(
        settings=settings,
        decision=decision,
        parts=split,
        sessions=len(series),
        last_session=series.sessions[-1],
        retrained_at=series.sessions[-1] if start is None else start.retrained_at,
        history=tuple(history),
        **networks,
    )


def training_part(
    series: PriceSeries, settings: Settings, trained_of: Callable[[int], int] = int
) -> PriceSeries:
    """The sessions before the validation and test parts of a night.  trained_of: how many of these
    are trained on.

    Raises TooFewBars, which says with how many sessions the tutorial's recipe has enough to train
    on.
    """
    horizon = settings.evaluation.horizon

    def training_sessions(sessions: int) -> int:
        return split_origins(sessions, settings.evaluation).train_end + horizon

    def is_enough(sessions: int) -> bool:
        return trained_of(training_sessions(sessions)) >= VALIDATION_SHARE * horizon

    if not is_enough(len(series)):
        raise TooFewBars(
            next(filter(is_enough, count(len(series)))), len(series), "the tutorial's recipe"
        )
    return series.until(training_sessions(len(series)))


def learning_sha256(settings: Settings) -> str:
    """Hash of the settings that a champion's weights depend on: all but mode, policy, ageing and
    the gate's."""
    parts = {
        name: part
        for name, part in settings.model_dump().items()
        if name not in ("mode", "policy", "ageing")
    }
    del parts["evaluation"]["replace_after_sessions"]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def facts_about(
    champion: TrainedModel,
    series: PriceSeries,
    settings: Settings,
    folders: Sequence[Path] = (SHIPPED,),
    *,
    same_code: bool = True,
    same_adjustment: bool = True,
) -> Facts:
    """The facts for `retrain_policy.decide` about the champion, as of the last session. Raises
    TooFewBars."""
    first = split_after_vintages(series, settings.evaluation, folders).validation.start
    why_unscored = unscored(champion, series.sessions[first])
    network, newest = (
        champion.published,
        VintageSet.ending_before((series.sessions[-1] + A_DAY).item(), folders),
    )
    unchanged = {
        "settings": learning_sha256(champion.settings) == learning_sha256(settings),
        "code": same_code,
        "price adjustment": same_adjustment,
        "pretrained network": network.vintages is None
        or network.vintages.identity() == newest.identity(),
    }
    if network.scale and not same_adjustment:
        why_unscored = "its scale is of prices that have been adjusted otherwise since"
    return Facts(
        unscored=why_unscored,
        changed=tuple(name for name, same in unchanged.items() if not same),
        new_sessions=int((series.sessions > champion.last_session).sum()),
        sessions_since_retrain=int((series.sessions > champion.retrained_at).sum()),
        scale_drift=network.scale.drift(series) if network.scale else 1.0,
    )
