"""The champion as a night sees it, and what becomes of it after the verdict."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from stockml.errors import InvalidFile, StoreError
from stockml.home import Home
from stockml.models.registry import FILE, Promotion, Registry
from stockml.storage.files import sha256_of, write_atomically
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


def champion_for(home: Home, ticker: str, session: date) -> Promotion | None:
    """The champion that a night of `session` may know: none that learned later.

    Raises StoreError where its folder is gone or was changed: nothing is scored beside it, and nothing takes its place.
    """
    champion = Registry(home.models).champion(ticker)
    if champion is None or champion.session > session:
        return None
    check_intact(ticker, champion.path, champion.sha256)
    return champion


def check_intact(ticker: str, path: str, sha256: str | None) -> None:
    """Raises StoreError where the champion's folder is not what was promoted."""
    found = sha256_of(path)
    if found != sha256:
        what = "nothing" if found is None or not any(Path(path).iterdir()) else "other content"
        way_back = f"restore it from a backup, or put the champion before it back with `stockml rollback {ticker}`"
        begin = f"moving {Path(path).with_name(FILE)} away begins a new history"
        raise StoreError(path, f"expected the champion as it was promoted, found {what}; {way_back}; {begin}")
