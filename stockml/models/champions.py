"""The champion as a night sees it, and what becomes of it after the verdict."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from stockml.errors import InvalidFile
from stockml.home import Home
from stockml.models.registry import Promotion, Registry
from stockml.storage.files import write_atomically
from stockml.storage.records import read_record, record

PROVENANCE = "provenance.json"


@record
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
            return read_record(cls, (folder / PROVENANCE).read_bytes())
        except (OSError, ValueError) as error:
            raise InvalidFile(str(folder / PROVENANCE), f"expected a model's provenance, found {error}") from error


def champion_for(home: Home, ticker: str, session: date, model_path: str | None = None) -> Promotion | None:
    """The champion that a night of `session` may know: none that learned later, nor the night's own model.

    A champion whose folder is gone or changed counts as none: the night then retrains.
    """
    champion = Registry(home.models).champion(ticker)
    if champion is None or champion.session > session or champion.path == model_path or not champion.intact():
        return None
    return champion
