"""The champion as a night sees it, and what becomes of it after the verdict."""

import json
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from stockml.code_hash import code_hash
from stockml.errors import InvalidFile
from stockml.home import Home
from stockml.receipts import (
    DatasetReceipt,
    DecisionReceipt,
    ModelReceipt,
    PromotionReceipt,
    RunReceipt,
    sha256_of,
    write_atomically,
)
from stockml.registry import Promotion, Registry

PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class Provenance:
    """What a model was made of, kept in its folder: hashes of the price adjustment and of the training code."""

    adjustment: str
    code: str
    dataset: str

    def write(self, folder: Path) -> None:
        write_atomically(folder / PROVENANCE, (json.dumps(vars(self), sort_keys=True) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> "Provenance":
        """Raises InvalidFile."""
        try:
            return cls(**json.loads((folder / PROVENANCE).read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise InvalidFile(str(folder / PROVENANCE), f"expected a model's provenance, found {error!r}") from error


def champion_for(home: Home, ticker: str, session: date, model_path: str | None = None) -> Promotion | None:
    """The champion that a night of `session` may know: none that learned later, nor the night's own model.

    A champion whose folder is gone or changed counts as none: the night then retrains.
    """
    champion = Registry(home.models).champion(ticker)
    if champion is None or champion.session > session or champion.path == model_path or not champion.intact():
        return None
    return champion


def promote(
    home: Home, model: ModelReceipt, run: RunReceipt, *, promoted: bool, reason: str, at: datetime
) -> PromotionReceipt:
    """Write the verdict into the promotion history, once a key; a champion of a later session is never displaced."""
    registry = Registry(home.models)
    champion = registry.champion(model.ticker)
    displaced = champion is not None and champion.session > model.session
    if promoted and not displaced:
        registry.promote(
            Promotion(
                ticker=model.ticker,
                event="promote",
                key=run.key,
                path=model.path,
                sha256=model.sha256,
                version=run.model_version,
                session=model.session,
                reason=reason,
                at=at,
            )
        )
    if promoted and displaced:
        reason = f"{reason}; a later session's champion stays"
    history = registry.file(model.ticker)
    return PromotionReceipt(
        model.ticker, str(history), sha256_of(str(history)) or "", run.key, promoted and not displaced, reason
    )


def champion_folder(decision: DecisionReceipt) -> Path | None:
    """The folder of the champion beside which it was decided; None without one."""
    record: dict[str, Any] = json.loads(Path(decision.path).read_text())
    return Path(record["champion"]) if record["champion"] else None


def training_code() -> str:
    """Hash of all code that a model's weights depend on."""
    return code_hash("training")


def numbers_code() -> str:
    """Hash of the code that a night's numbers depend on: all but plots, texts and tracking."""
    return code_hash("training", "assessment")


def as_record(dataset: DatasetReceipt, champion: Promotion | None) -> dict[str, Any]:
    """What a decision remembers of the champion that it was made beside."""
    return {
        "session": dataset.session.isoformat(),
        "champion": champion.path if champion else None,
        "champion_sha256": champion.sha256 if champion else None,
    }
