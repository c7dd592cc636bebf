"""The training step: resumable, into one folder named by its inputs, with its provenance."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from stockml.home import HomePaths
from stockml.models.retrain_policy import Decision
from stockml.models.trained_model import Provenance
from stockml.nights.decide import champion_of_decision
from stockml.nights.night_key import training_code
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
from stockml.storage.files import sha256_of
from stockml.storage.receipts import DatasetReceipt, DecisionReceipt, ModelReceipt
from stockml.training.checkpoint import EpochProgress
from stockml.training.train import learning_sha256, train


def train_night(
    home: HomePaths,
    dataset: DatasetReceipt,
    decision: DecisionReceipt,
    settings: Settings,
    *,
    on_epoch: Callable[[EpochProgress], None] | None = None,
) -> ModelReceipt:
    """Train as decided; the same inputs end with the same model. Raises TooFewBars, Diverged."""
    name = (
        f"{dataset.sha256} {dataset.pretrained} {decision.sha256} {learning_sha256(settings)} "
        f"{training_code()}"
    )
    folder = home.models / dataset.ticker / hashlib.sha256(name.encode()).hexdigest()[:16]
    Provenance(dataset.adjustment, training_code(), dataset.sha256).write(folder)
    model = train(
        PriceSeries.read(Path(dataset.path)),
        settings,
        Decision(decision.mode, decision.reason),  # type: ignore[arg-type]
        champion=champion_of_decision(decision)[0],
        folder=folder,
        on_epoch=on_epoch,
    )
    # what was learned may not be worth using
    sha256, chosen = (
        sha256_of(folder) or "",
        model.decision,
    )
    return ModelReceipt(
        dataset.ticker, str(folder), sha256, dataset.session, chosen.mode, chosen.reason
    )
