"""Raw answers, each kept once, as `FOLDER/TICKER/SHA256.json.gz`, named by the hash of its
content."""

import gzip
import hashlib
import zlib
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from stockml.errors import StoreError
from stockml.storage.files import write_atomically
from stockml.tickers import validated_ticker

MAX_BYTES = 8 * 2**20  # a full history of 27 years takes 1.5 MB (2.5 MB adjusted)
WAY_BACK = "delete it and fetch the ticker again"


@dataclass(frozen=True)
class Payload:
    """An answer with the wanted data, as received, the key redacted."""

    ticker: str
    content: bytes = field(repr=False)
    received_at: datetime


def archive(payload: Payload, folder: Path) -> Path:
    """Keep the content, gzipped without a time stamp, unless its file is there intact. Returns the
    file's path."""
    path = (
        folder
        / validated_ticker(payload.ticker)
        / f"{hashlib.sha256(payload.content).hexdigest()}.json.gz"
    )
    try:
        read_archived(path)
    except StoreError:
        write_atomically(path, gzip.compress(payload.content, mtime=0))
    return path


def read_archived(path: str | Path) -> bytes:
    """The content of a kept payload, checked against its name. Raises StoreError."""
    try:
        with gzip.open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise StoreError(
            str(path), f"expected a gzipped payload, found {type(error).__name__}; {WAY_BACK}"
        ) from error
    if hashlib.sha256(content).hexdigest() != Path(path).name.partition(".")[0]:
        raise StoreError(
            str(path), f"expected the content that its name stands for, found another; {WAY_BACK}"
        )
    return content
