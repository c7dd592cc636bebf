"""The parts of a shared state: which files belong to each, and a part's manifest as committed."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from stockml.errors import StoreError
from stockml.storage.records import read_record

COMMON = "_common"  # no ticker begins with an underscore
LAST_RUN_SUFFIX = "~ended"  # to a ticker: how its newest run ended, also committed by runs that found it busy
ATTEMPT = "last-attempt.json"
FOLDERS = ("models", "nights", "payloads", "evaluations", "datasets")  # each holds one folder a ticker
FILES = ("store/{}.parquet", "store/splits/{}.parquet", "store/history/{}.parquet", "store/judgements/{}.parquet",
         "ledger/{}.parquet")  # fmt: skip
COMMON_FILES = ("prices.json", "tickers.yaml", "tickers.yaml.before", "delistings.json", "nights/.installation")
SHARED = ("bases", "settings")  # folders
PLACES = {name.partition("/")[0] for name in (*FOLDERS, *FILES, *COMMON_FILES, *SHARED)}  # not Prefect's, nor locks
WAITING = "waiting"  # beside a night's record until MLflow has it
LAST_WRITER_WINS = ("delistings.json", ".installation", ATTEMPT)  # the last commit wins, from any machine

Entry: TypeAlias = tuple[str, int, Annotated[int, Field(ge=-(2**35), le=2**37)]]  # SHA-256, bytes, written: since 1970


@dataclass(frozen=True)
class Manifest:
    """A part as committed: its files by name. `commit` tells apart two manifests of the same content."""

    part: str
    files: dict[str, Entry] = field(default_factory=dict)
    commit: str = ""
    format: Literal["stockml state, 1"] = "stockml state, 1"

    def content(self) -> bytes:
        body = json.dumps(vars(self), sort_keys=True)
        return json.dumps({"sum": hashlib.sha256(body.encode()).hexdigest(), "body": body}).encode()

    @classmethod
    def read(cls, content: bytes, address: str) -> "Manifest":
        """Parse a manifest that was read at `address`. Raises StoreError if it is damaged."""
        try:
            outer = json.loads(content)
            if hashlib.sha256(outer["body"].encode()).hexdigest() != outer["sum"]:
                raise ValueError("its checksum is another")
            manifest = read_record(cls, outer["body"])
            for name in manifest.files.keys() - COMMON_FILES:
                path = PurePosixPath(name)
                if "\0" in name or ".." in path.parts or not path.parts[1:] or path.parts[0] not in PLACES:
                    raise ValueError(f"a file {name[:80]!r} that no state has")
            return manifest
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            why = f"expected a manifest of shared state, found damage ({error}); it was left as it is"
            advice = "run it again; if it is still so, bring back an earlier version of this object"
            raise StoreError(address, f"{why}: {advice}") from error


def is_merged(part: str) -> bool:
    """Whether the part's files are independent of each other, so that several machines' changes can be merged."""
    return part == COMMON or part.endswith(LAST_RUN_SUFFIX)


def files_of(root: Path, part: str) -> list[str]:
    """The names of a part's files in a home, without half-written files and locks."""
    if part.endswith(LAST_RUN_SUFFIX):
        path = root / "nights" / part.removesuffix(LAST_RUN_SUFFIX) / ATTEMPT
        return [path.relative_to(root).as_posix()] if path.is_file() else []
    if part == COMMON:
        paths = [root / name for name in COMMON_FILES]
        paths += [path for folder in SHARED for path in _below(root / folder)]
    else:
        paths = [root / name.format(part) for name in FILES]
        paths += [path for folder in FOLDERS for path in _below(root / folder / part)]
    names = [path.relative_to(root).as_posix() for path in paths if path.is_file()]
    return [name for name in names if name in COMMON_FILES or not Path(name).name.startswith((".", ATTEMPT))]


def _below(folder: Path) -> list[Path]:
    """The files in a folder, at any depth; unlike `rglob`, leaves out a folder that a clean-up removes meanwhile."""
    return sorted(Path(path, name) for path, _, names in os.walk(folder) for name in names)


def tickers_of(root: Path) -> Iterator[str]:
    for name in FILES:
        yield from (path.stem for path in (root / name).parent.glob(f"*{Path(name).suffix}"))
    for folder in FOLDERS:
        yield from (path.name for path in (root / folder).glob("*") if path.is_dir())


def conflicts(ancestor: Mapping[str, Entry], mine: Mapping[str, Entry], theirs: Mapping[str, Entry]) -> list[str]:
    """The files that both changed differently since `ancestor`, apart from those in LAST_WRITER_WINS."""
    names = []
    for name in sorted(_changed(ancestor, mine)):
        before, here, there = (files.get(name, ("",))[0] for files in (ancestor, mine, theirs))
        if there not in (before, here) and PurePosixPath(name).name not in LAST_WRITER_WINS:
            names.append(name)
    return names


def merged(ancestor: Mapping[str, Entry], mine: Mapping[str, Entry], theirs: Mapping[str, Entry]) -> dict[str, Entry]:
    """`theirs` with my changes since `ancestor`."""
    changed = _changed(ancestor, mine)
    unchanged = {name: entry for name, entry in theirs.items() if name not in changed}
    return unchanged | {name: mine[name] for name in changed & mine.keys()}


def _changed(ancestor: Mapping[str, Entry], mine: Mapping[str, Entry]) -> set[str]:
    return {name for name in ancestor.keys() | mine.keys() if ancestor.get(name) != mine.get(name)}
