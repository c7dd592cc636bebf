"""A model that is built on no base, for champions that a rollback loads."""

from pathlib import Path

import numpy as np

from stockml.features.origins import OriginSplit
from stockml.models.retrain_policy import Decision
from stockml.models.ticker_network import TickerNetwork, WidthCorrection
from stockml.models.trained_model import TrainedModel, save
from stockml.models.vintage_set import VintageSet
from stockml.settings import Settings


def write_model(folder: Path, sessions: int = 1) -> Path:
    """Write the model, which says that it learned from so many sessions; returns the folder."""
    through = np.datetime64("2013-02-28")
    network = TickerNetwork(VintageSet(None, None, None), WidthCorrection(), False, through)
    asked, parts = Decision("retrain", "asked for"), OriginSplit(0, range(0), range(0))
    save(TrainedModel(Settings(), asked, network, network, parts, sessions, through, through), folder)
    return folder
