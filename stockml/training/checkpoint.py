"""The checkpoint from which an interrupted training resumes: one file, replaced after every
epoch."""

from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from stockml.storage.arrays import labelled, unlabelled
from stockml.storage.files import write_atomically

NAME = "_checkpoint.npz"


@dataclass
class TrainingProgress:
    """How far a training is.  arrays: the `state` of the network in training, its `best` weights so
    far by validation loss, and the states of finished networks, by name."""

    network: str = ""
    epoch: int = 0
    best_epoch: int = 0
    best_loss: float = float("inf")
    history: list[dict[str, Any]] = field(default_factory=list)
    arrays: dict[str, list[Any]] = field(default_factory=dict)


def save(folder: Path, fingerprint: str, progress: TrainingProgress) -> None:
    """Replace the checkpoint atomically; `fingerprint` names the training it belongs to."""
    header = {
        "fingerprint": fingerprint,
        "groups": [[name, len(arrays)] for name, arrays in progress.arrays.items()],
        "facts": {name: fact for name, fact in vars(progress).items() if name != "arrays"},
    }
    write_atomically(
        folder / NAME, labelled(header, [*chain.from_iterable(progress.arrays.values())])
    )


def resume(folder: Path, fingerprint: str) -> TrainingProgress:
    """The saved progress of the training with this fingerprint, or a fresh start."""
    try:
        header, arrays = unlabelled((folder / NAME).read_bytes())
    except (OSError, ValueError):
        return TrainingProgress()
    if header["fingerprint"] != fingerprint:
        return TrainingProgress()
    remaining = iter(arrays)
    groups = {name: list(islice(remaining, count)) for name, count in header["groups"]}
    return TrainingProgress(**header["facts"], arrays=groups)


@dataclass(frozen=True)
class EpochProgress:
    """An epoch that has just ended. `loss` is the training loss; the others are 0.5 · MSE of whole
    paths, scaled.

    Over the test part, None without starts: `test_loss`, `last_value_loss` ("the price stays"),
    `correlation` of moves.
    """

    network: str
    epoch: int
    epochs: int
    loss: float
    validation_loss: float
    learning_rate: float
    seconds: float
    seconds_left: float
    test_loss: float | None = None
    last_value_loss: float | None = None
    correlation: float | None = None

    def __str__(self) -> str:
        """One line for a person who is waiting."""
        test = (
            ""
            if self.test_loss is None
            else f"test {self.test_loss:.5f}, last value {self.last_value_loss:.5f}, "
        )
        moves = "" if self.correlation is None else f"moves {self.correlation:+.2f}, "
        return (
            f"epoch {self.epoch} of {self.epochs}: train {self.loss:.4f}, {test}{moves}"
            f"validation {self.validation_loss:.5f}, rate {self.learning_rate:.1e}; "
            f"{self.seconds:.0f} s, {self.seconds_left / 60:.1f} min left"
        )
