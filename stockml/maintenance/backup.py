"""One archive of what cannot be made again: the home's own files, Prefect's and MLflow's databases.

It is a plain zip with a list of hashes; `unzip` takes a single file out. It is as private as the
home: Prefect's Secret blocks are in it. Runs may go on meanwhile.
"""

import hashlib
import json
import shlex
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from stockml.errors import InvalidFile, StockmlError
from stockml.home import HomePaths, owner_only
from stockml.models.registry import Registry
from stockml.provider.price_source import FILE as KIND_OF_PRICES
from stockml.provider.price_source import REPLAY
from stockml.storage.files import sync_folder, write_atomically
from stockml.storage.os_errors import RESTORING, closed_to_us

FORMAT = "stockml backup, 1"
MANIFEST = "manifest.json"
DATABASES = ("mlflow.db", "prefect/prefect.db")
FILES = (  # what leans on other files comes before them
    KIND_OF_PRICES, "tickers.yaml", "settings/*.json", "ledger/*.parquet",
    "models/*/promotions.jsonl", "pretrained/**/*", "nights/*/*/*", "artifacts/**/*",
)  # fmt: skip
PLACES = {name.partition("/")[0] for name in (*FILES, *DATABASES, "store", "evaluations")}


@dataclass(frozen=True)
class Archived:
    files: int
    size: int  # of the archive, in bytes


def back_up(home: HomePaths, file: Path, now: datetime) -> Archived:
    """Write a new archive. If it raises InvalidFile or OSError, none is left."""
    if file.exists() or not file.parent.is_dir():
        raise InvalidFile(str(file), "expected a new name, in a folder that is there; name another")
    if closed := next(closed_to_us(home.root), None):
        raise InvalidFile(str(closed), "expected what may be read, found it closed; open it to us")
    with owner_only(), TemporaryDirectory(prefix=".backup-", dir=file.parent.resolve()) as folder:
        part = Path(folder, "archive.zip")
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            hashes = dict(_add_all(archive, home, Path(folder)))
            manifest = {"format": FORMAT, "made_at": now.isoformat(), "files": hashes}
            archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
        if not hashes:
            raise InvalidFile(str(home.root), "expected a home, found nothing; set STOCKML_HOME")
        sync_folder(part)
        part.replace(file)
        sync_folder(file.parent)
    return Archived(len(hashes), file.stat().st_size)


def restore(home: HomePaths, file: Path) -> Archived:
    """Check every file of the archive, then write all into an empty home; cut short, run it again.

    Until then, other commands refuse the home (`check_home`). Raises InvalidFile, DiskFull.
    """
    names = _verified(file)
    command, mark = shlex.join(["stockml", "restore", str(file.resolve())]), home.locks / RESTORING
    if not (mark.exists() and mark.read_text(encoding="utf-8") == command):
        _check_empty(home)
        write_atomically(mark, command.encode())
    with zipfile.ZipFile(file) as archive:
        for name in names:
            write_atomically(_path(home, name), archive.read(name))
    mark.unlink()
    return Archived(len(names), file.stat().st_size)


def holds_replay(file: Path) -> bool:
    """Whether the archive is of recorded prices. Raises InvalidFile for a damaged one."""
    if KIND_OF_PRICES not in _verified(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return bool(json.loads(archive.read(KIND_OF_PRICES))["prices"] == REPLAY)


def _add_all(archive: zipfile.ZipFile, home: HomePaths, folder: Path) -> Iterator[tuple[str, str]]:
    """Add the home's files; yields each one's name and SHA-256. folder: for copies of databases."""
    for name in _names(home):
        path = _path(home, name)
        if name in DATABASES:
            live, path = path, folder / PurePosixPath(name).name
            with closing(sqlite3.connect(live)) as source, closing(sqlite3.connect(path)) as copy:
                source.backup(copy)
        with suppress(FileNotFoundError):  # cleared away meanwhile
            content = path.read_bytes()
            archive.writestr(name, content)
            yield name, hashlib.sha256(content).hexdigest()


def _names(home: HomePaths) -> Iterator[str]:
    for pattern in FILES:
        yield from _below(home.root, pattern)
    for folder in sorted(home.models.glob("*/")):
        with suppress(StockmlError):  # a damaged history is archived, and named by `stockml doctor`
            champions = Registry(home.models).champion_history(folder.name)
            for model in dict.fromkeys(Path(champion.path).name for champion in champions):
                yield from _below(folder, f"{model}/*", home.root)
    yield from (f"store/{name}" for name in _below(Path(home.store), "**/*.parquet"))
    yield from (name for name in DATABASES if (home.root / name).is_file())


def _below(folder: Path, pattern: str, root: Path | None = None) -> list[str]:
    files = (path for path in sorted(folder.glob(pattern)) if path.is_file())
    return [f.relative_to(root or folder).as_posix() for f in files if not f.name.startswith(".")]


def _path(home: HomePaths, name: str) -> Path:
    top, _, rest = name.partition("/")
    return Path(home.store, rest) if top == "store" else home.root / name


def _verified(file: Path) -> list[str]:
    """The names in an archive that is exactly what its list of hashes says. Raises InvalidFile."""
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = json.loads(archive.read(MANIFEST))
            hashes: dict[str, str] = manifest["files"]
            if manifest["format"] != FORMAT or {MANIFEST, *hashes} != {*archive.namelist()}:
                raise ValueError(f"not the files of {FORMAT!r} that its list names")
            for name, expected in hashes.items():
                parts = PurePosixPath(name).parts
                if ".." in parts or parts[0] not in PLACES:
                    raise ValueError(f"a file {name[:80]!r} that no home has")
                if hashlib.sha256(archive.read(name)).hexdigest() != expected:
                    raise ValueError(f"other content in {name}")
            return list(hashes)
    except Exception as error:  # zipfile and zlib report damage by a dozen types
        fault = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        why = f"expected a whole backup, found {fault}; take another copy; nothing was restored"
        raise InvalidFile(str(file), why) from error


def _check_empty(home: HomePaths) -> None:
    files = (path for root in (home.root, Path(home.store)) for path in root.rglob("*"))
    content = (path for path in files if path.is_file() and home.locks not in path.parents)
    if found := next(content, None):
        why = f"expected an empty home, found {found}; name another folder in STOCKML_HOME"
        raise InvalidFile(str(home.root), why)
