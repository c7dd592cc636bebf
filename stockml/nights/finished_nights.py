"""Tell, without starting anything, whether a night run again would change anything."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from stockml.code_version import NIGHT_PACKAGES, files_hash, number_libraries
from stockml.errors import InvalidFile
from stockml.home import HomePaths
from stockml.nights.dataset import side_inputs_sha256
from stockml.nights.record import Night, read_night
from stockml.settings import Settings
from stockml.storage.files import sha256_of, write_atomically
from stockml.storage.receipts import Receipt, RunReceipt, read_record, record, written_record

FILE = "finished.json"


@record
@dataclass(frozen=True)
class FinishedNight:
    """The newest night.  request: hash of the request and of all that decides the answer, as the
    night began.

    files: SHA-256 of what it left, by path.  record: the path of its `night.json`, one of the
    files.
    """

    request: str
    record: str
    files: Mapping[str, str]


def keep_finished(
    home: HomePaths, request: str, run: RunReceipt, others: Iterable[Receipt]
) -> None:
    """Remember what the newest night left; not if it waits for MLflow. request: as it began."""
    if run.run_id is None:
        return
    files = {receipt.path: receipt.sha256 for receipt in (run, *others)}
    write_atomically(
        home.nights / run.ticker / FILE, written_record(FinishedNight(request, run.path, files))
    )


def finished_night(
    home: HomePaths, ticker: str, session: date, settings: Settings, calendar: str | None
) -> Night | None:
    """The night that this request would only repeat; None if anything has changed since."""
    try:
        finished = read_record(FinishedNight, (home.nights / ticker / FILE).read_bytes())
        beside = side_inputs_sha256(home, ticker, session)
        if finished.request != request_sha256(ticker, session, settings, calendar, beside):
            return None
        intact = all(
            home.holds(path) and (sha256_of(path) or "") == sha256
            for path, sha256 in finished.files.items()
        )
        return read_night(Path(finished.record)) if intact else None
    except (OSError, ValueError, InvalidFile):
        return None


def request_sha256(
    ticker: str, session: date, settings: Settings, calendar: str | None, beside: str
) -> str:
    """Hash of a request for a night, and of the code and side inputs (`beside`) that decide its
    answer."""
    asked = (ticker, str(session), settings.sha256(), calendar or "", beside, *number_libraries())
    return hashlib.sha256("|".join((*asked, files_hash(*NIGHT_PACKAGES))).encode()).hexdigest()
