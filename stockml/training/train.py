"""Training a ticker's model: from the base, from the champion, or not at all."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from stockml.errors import NoChampion
from stockml.models.pool import Pool
from stockml.models.pooled_vintages import SHIPPED
from stockml.models.retrain_policy import Decision, Facts
from stockml.models.ticker_network import TickerNetwork
from stockml.models.trained_model import TrainedModel, load_model, save, vintage_folders
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
from stockml.training import checkpoint
from stockml.training.checkpoint import EpochProgress
from stockml.training.ticker_training import train_ticker
from stockml.training.tutorial_night import train_tutorial


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

    An interrupted call, repeated, ends with the same weights; the tutorial's goes on from its last epoch. `champion` is
    the folder of the model to continue or keep. Raises TooFewBars, Diverged, NoChampion.
    """
    start = None
    if decision.mode != "retrain":
        if champion is None:
            raise NoChampion("model", f"to {decision.mode} needs the folder of one; retrain first")
        start = load_model(champion)
    if start is not None and decision.mode == "keep":
        model = replace(start, decision=decision, history=())
    elif settings.profile == "tutorial":
        model = train_tutorial(series, settings, decision, start=start, folder=folder, on_epoch=on_epoch)
    else:
        model = train_ticker(series, settings, decision, start=start, folders=vintage_folders(folder))
    save(model, folder)
    checkpoint.remove(folder)
    return model


def learning_sha256(settings: Settings) -> str:
    """Hash of the settings that a champion's weights depend on: all but the mode, policy, age and the gate's."""
    kept = {name: part for name, part in settings.asdict().items() if name not in ("mode", "policy", "ageing")}
    del kept["evaluation"]["replace_after_sessions"]
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def facts_about(
    champion: TrainedModel,
    series: PriceSeries,
    settings: Settings,
    *,
    same_code: bool = True,
    same_adjustment: bool = True,
    live_skill: float | None = None,
    folders: Sequence[Path] = (SHIPPED,),
) -> Facts:
    """What `policy.decide` wants to know, as of the last session of `series`."""
    network, newest = champion.published, Pool.before((series.sessions[-1] + 1).item(), folders)
    return Facts(
        same_settings=learning_sha256(champion.settings) == learning_sha256(settings),
        same_code=same_code,
        same_adjustment=same_adjustment,
        same_base=not isinstance(network, TickerNetwork) or network.pool.identity() == newest.identity(),
        new_sessions=int((series.sessions > champion.last_session).sum()),
        sessions_since_retrain=int((series.sessions > champion.retrained_at).sum()),
        scale_drift=1.0 if isinstance(network, TickerNetwork) else network.scale.drift(series),
        live_skill=live_skill,
    )
