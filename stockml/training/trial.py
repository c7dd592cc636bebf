"""A finished trial of a search, as its listeners get it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial. `settings`: dotted overrides. `losses`: the validation loss after each epoch.

    `loss`: the lowest of them, None unless the trial is complete; `best`: the lowest of all trials so far.
    """

    ticker: str
    study: str
    number: int
    of: int
    state: State
    settings: Mapping[str, Any]
    losses: tuple[float, ...]
    loss: float | None
    best: float | None
    began: datetime
    seconds: float
