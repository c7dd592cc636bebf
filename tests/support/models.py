"""Models of which nothing was trained, for tests that need one."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from stockml.features.origins import OriginSplit
from stockml.models.trained_model import (
    NETWORKS,
    Decision,
    Evidence,
    TickerNetwork,
    TrainedModel,
    save,
)
from stockml.models.vintage_set import VintageSet
from stockml.models.vintage_store import SHIPPED
from stockml.prices.calendar import A_DAY
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
from stockml.training.ticker_training import TickerTraining, split_after_vintages


def fine_tuned(network: TickerNetwork, times: float = 1.05) -> TickerNetwork:
    """The network as if training had made its widths `times` as wide."""
    pretrained = network.vintages.pretrained
    assert pretrained is not None
    wider = replace(
        pretrained,
        members=tuple(
            replace(each, shape=np.float32(times) * each.shape) for each in pretrained.members
        ),
    )
    return replace(network, fine_tuned=wider, used=True)


def trained_model(
    series: PriceSeries, settings: Settings, times: float | None = 1.05
) -> TrainedModel:
    """A retrained model of the series, as if training had made its widths `times` as wide; None: it
    did not help."""
    split, training = (
        split_after_vintages(series, settings.evaluation),
        TickerTraining(series, settings, (SHIPPED,)),
    )
    first, tomorrow = split.validation.start, series.sessions[-1] + A_DAY
    vintages = (VintageSet.ending_before(day.item()) for day in (series.sessions[first], tomorrow))
    networks = [
        training.untrained(each, stop)
        for each, stop in zip(vintages, (first, len(series)), strict=True)
    ]
    if times is not None:
        networks = [fine_tuned(each, times) for each in networks]
    rows = [
        {"step": step, "loss": 0.27 - step / 1e4, "learning_rate": 1e-4, "seconds": 0.1}
        for step in range(1, 21)
    ]
    return TrainedModel(
        settings=settings,
        decision=Decision("retrain", "asked for"),
        held_out=networks[0],
        published=networks[1],
        parts=split,
        sessions=len(series),
        last_session=series.sessions[-1],
        retrained_at=series.sessions[-1],
        evidence=Evidence(0.0012, 100),
        history=tuple({"network": name, **row} for name in NETWORKS for row in rows),
    )


def write_model(folder: Path, sessions: int = 1) -> Path:
    """Write the model, which says that it learned from so many sessions; returns the folder."""
    through = np.datetime64("2013-02-28")
    network = TickerNetwork(VintageSet(None, None, None), None, used=False, learned_until=through)
    asked, parts = Decision("retrain", "asked for"), OriginSplit(0, range(0), range(0))
    save(
        TrainedModel(Settings(), asked, network, network, parts, sessions, through, through), folder
    )
    return folder
