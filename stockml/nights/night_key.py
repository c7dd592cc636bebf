"""The key that identifies a night, and hashes of the code that its numbers come from."""

import hashlib

from stockml.code_version import code_hash
from stockml.models.forecasters import identities
from stockml.settings import Settings
from stockml.storage.receipts import DatasetReceipt


def night_key(dataset: DatasetReceipt, settings: Settings) -> str:
    """The identity of a night: ticker, session, data hash, pretrained networks, configuration and
    code hash; 64 hex digits."""
    data = (dataset.sha256, dataset.pretrained)
    parts = (dataset.ticker, str(dataset.session), *data, settings.sha256(), evaluation_code())
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def training_code() -> str:
    """Hash of all code that a model's weights depend on."""
    return code_hash("training.train")


def evaluation_code() -> str:
    """Hash of the code that a night's numbers depend on: all but plots, texts and tracking.

    Other packages' forecasters count by their versions.
    """
    parts = code_hash("training.train", "evaluation.assessment"), *identities()
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
