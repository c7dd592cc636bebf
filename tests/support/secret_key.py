"""A recognisable API key, and a search for it in the places where a night could leave it."""

import gzip
from collections.abc import Iterator
from pathlib import Path

KEY = "SECRETKEY0123456789"
GZIP = b"\x1f\x8b"


def with_key(folder: Path, key: str = KEY) -> Iterator[str]:
    """Yield the files whose path or content, decompressed, contains the key in any letter case."""
    for path in folder.rglob("*"):
        if key.encode() in str(path).upper().encode():
            yield str(path)
        if path.is_file():
            content = path.read_bytes()
            plain = gzip.decompress(content) if content.startswith(GZIP) else content
            if key.encode() in plain.upper():
                yield str(path)


def prefect_database() -> Path:
    """The folder that holds the test's Prefect database and nothing else."""
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

    return Path(str(PREFECT_API_DATABASE_CONNECTION_URL.value()).partition(":///")[2]).parent
