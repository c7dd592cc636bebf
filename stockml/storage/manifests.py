"""The parts of a home's state: which files belong to a ticker, and a part as it was committed."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from stockml.errors import StoreError

FORMAT = "stockml state, 1"
COMMON = "_common"  # no ticker begins like this
ENDED = "~ended"  # after a ticker: how its newest run ended, told by runs that had to leave the ticker alone too
ATTEMPT = "last-attempt.json"
FOLDERS = ("models", "nights", "payloads", "evaluations", "datasets")  # one a ticker within
FILES = ("store/{}.parquet", "store/splits/{}.parquet", "store/history/{}.parquet", "store/judgements/{}.parquet",
         "ledger/{}.parquet")  # fmt: skip
OF_ALL = ("prices.json", "tickers.yaml", "tickers.yaml.before", "delistings.json", "nights/.installation")
WAITING = "waiting"  # beside a night's record until MLflow has it
NEWEST_COUNTS = ("delistings.json", ".installation", ATTEMPT)  # whichever machine wrote it

Entry: TypeAlias = tuple[str, int, int]  # SHA-256, bytes, the second in which it was written


@dataclass(frozen=True)
class Manifest:
    """A part as committed: each file by its name. `commit` tells two of the same content apart."""

    part: str
    files: dict[str, Entry] = field(default_factory=dict)
    commit: str = ""

    def content(self) -> bytes:
        body = json.dumps(
            {"format": FORMAT, "part": self.part, "commit": self.commit, "files": self.files}, sort_keys=True
        )
        return json.dumps({"sum": hashlib.sha256(body.encode()).hexdigest(), "body": body}).encode()

    @classmethod
    def read(cls, content: bytes, place: str) -> "Manifest":
        """Raises StoreError for what is not whole."""
        try:
            outer = json.loads(content)
            if hashlib.sha256(outer["body"].encode()).hexdigest() != outer["sum"]:
                raise ValueError("its checksum is another")
            body = json.loads(outer["body"])
            if body["format"] != FORMAT:
                raise ValueError(f"the format {body['format']!r}, this program reads {FORMAT!r}")
            files = {name: (sha, size, written) for name, (sha, size, written) in body["files"].items()}
            if any(PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts for name in files):
                raise ValueError("a file outside of any home")
            return cls(body["part"], files, body["commit"])
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            why = f"expected a manifest of shared state, found damage ({problem}); it was left as it is"
            raise StoreError(place, f"{why}: bring back an earlier version of this object") from problem


def is_merged(part: str) -> bool:
    """Whether the part's files know nothing of each other, so that changes of several machines go together."""
    return part == COMMON or part.endswith(ENDED)


def files_of(root: Path, part: str) -> list[str]:
    """The names of a part's files in a home; what is half written, and locks, are none."""
    if part.endswith(ENDED):
        path = root / "nights" / part.removesuffix(ENDED) / ATTEMPT
        return [path.relative_to(root).as_posix()] if path.is_file() else []
    if part == COMMON:
        paths = [root / name for name in OF_ALL]
        paths += [path for folder in ("bases", "settings") for path in sorted((root / folder).rglob("*"))]
    else:
        paths = [root / name.format(part) for name in FILES]
        paths += [path for folder in FOLDERS for path in sorted((root / folder / part).rglob("*"))]
    names = [path.relative_to(root).as_posix() for path in paths if path.is_file()]
    return [name for name in names if name in OF_ALL or not Path(name).name.startswith((".", ATTEMPT))]


def tickers_of(root: Path) -> Iterator[str]:
    for name in FILES:
        yield from (path.stem for path in (root / name).parent.glob(f"*{Path(name).suffix}"))
    for folder in FOLDERS:
        yield from (path.name for path in (root / folder).glob("*") if path.is_dir())


def merged(
    base: Mapping[str, Entry], mine: Mapping[str, Entry], theirs: Mapping[str, Entry]
) -> dict[str, Entry] | None:
    """Theirs with what I changed since `base`; None where both changed one file, unless it is of NEWEST_COUNTS."""
    changed = {name for name in base.keys() | mine.keys() if base.get(name) != mine.get(name)}
    for name in changed:
        before, here, there = (files.get(name, ("",))[0] for files in (base, mine, theirs))
        if there not in (before, here) and PurePosixPath(name).name not in NEWEST_COUNTS:
            return None
    kept = {name: entry for name, entry in theirs.items() if name not in changed}
    return kept | {name: mine[name] for name in changed & mine.keys()}
