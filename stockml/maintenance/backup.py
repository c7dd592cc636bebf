"""One archive of all that cannot be made again, taken while nights run, and restored completely or not at all.

It holds what ARCHITECTURE names under State, but no secrets, nothing that is computed again, and no database of MLflow
or Prefect.

A file is read before those that it depends on: a forecast before its bars, a promotion before its model. As files are
replaced, never edited, the copy has what a copied file depends on as it was then, or a little newer.
"""

import hashlib
import json
import os
import shlex
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from errno import ENOSPC
from pathlib import Path, PurePosixPath
from typing import Any

from stockml.errors import DiskFull, InvalidFile, StockmlError
from stockml.home import HomePaths
from stockml.maintenance.integrity import faults
from stockml.maintenance.retention import RetentionSettings
from stockml.models.pooled_vintages import KINDS
from stockml.models.registry import Registry
from stockml.nights.record import kept_night
from stockml.provider.price_source import FILE as KIND_OF_PRICES
from stockml.provider.price_source import REPLAY
from stockml.storage.files import NO_ROOM, read_if_there, refused_by_disk, sync_folder, write_atomically
from stockml.storage.os_errors import RESTORING, check_links
from stockml.storage.process_marks import is_gone, mark

FORMAT = "stockml backup, 1"
MANIFEST, ARCHIVE, STAGING = "manifest.json", "archive.zip", ".staging-"
PLACES = (KIND_OF_PRICES, "tickers.yaml", "settings", "ledger", "models", "bases", "nights", "evaluations", "store")
WAY_BACK = "take another copy of it, or an older backup; nothing was restored"


@dataclass(frozen=True)
class Archived:
    """What was archived or restored: number of files, archive's bytes, a line for each damaged or missing file."""

    files: int
    size: int
    damaged: tuple[str, ...]


def back_up(home: HomePaths, file: Path, now: datetime) -> Archived:
    """Write a new archive, damaged files included and named. If it raises InvalidFile or OSError, none is left."""
    if file.exists():
        existing = "a folder" if file.is_dir() else "one"
        raise InvalidFile(str(file), f"expected a name for a new file, found {existing} there; name another")
    if not file.parent.is_dir():
        raise InvalidFile(str(file), f"expected a folder to archive in, found no {file.parent}; make it")
    with _staging(home, file.parent) as staging:  # not in the home, whose disk may be full or read-only
        if not (names := list(_copied(home, staging.root))):
            why = "expected a home with something to archive, found nothing; name another in STOCKML_HOME"
            raise InvalidFile(str(home.root), why)
        damage = _faults_of_copy(staging, home)
        checksums = {name: hashlib.sha256((staging.root / name).read_bytes()).hexdigest() for name in names}
        manifest = {"format": FORMAT, "made_at": now.isoformat(), "files": checksums, "damaged": damage}
        with (staging.root / ARCHIVE).open("wb") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
                for name in names:
                    archive.write(staging.root / name, name)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(staging.root / ARCHIVE, file)
        sync_folder(file.parent)
        return Archived(len(names), file.stat().st_size, tuple(damage))


def restore(home: HomePaths, file: Path, only: str | None = None) -> Archived:
    """Restore the archive's files into a home that lacks them or has the same; after a kill, repeat it to continue.

    Until then, nights and other commands refuse the home (`check_home`).

    only: one file, or all below a folder (`ledger/IBM.parquet`, `models/IBM`), such as damaged ones that were moved
    away. Changes nothing if it raises InvalidFile (an incomplete archive, or a home with other content) or DiskFull (no
    room to unpack).
    """
    home.root.mkdir(parents=True, exist_ok=True)
    with _staging(home, home.root) as staging:
        prefix = "" if only is None else f"{only.rstrip('/')}/"
        names = [name for name in _extracted(file, staging.root) if f"{name}/".startswith(prefix)]
        if not names:
            raise InvalidFile(str(file), f"expected {only} in the archive, found nothing of that name")
        for name in names:
            if _read(home, name) not in (None, (staging.root / name).read_bytes()):
                why = "expected a home without it, found other content than the archive's"
                way_on = "move it away, or name an empty folder in STOCKML_HOME"
                raise InvalidFile(str(_location(home, name)), f"{why}; {way_on}")
        damage = _faults_of_copy(staging, home)
        command = ["stockml", "restore", str(file.resolve()), *([] if only is None else ["--only", only])]
        mark = home.locks / RESTORING
        unfinished = shlex.split(mark.read_text(encoding="utf-8")) if mark.exists() else command
        is_finished_by_this = only is None or unfinished[3:] == command[3:]  # wherever the archive is by now
        if is_finished_by_this:
            write_atomically(mark, shlex.join(command).encode())
        for name in reversed(names):  # first what others depend on
            if _read(home, name) is None:
                with refused_by_disk(path := _location(home, name)):
                    write_atomically(path, (staging.root / name).read_bytes())
        if is_finished_by_this:
            mark.unlink()
        return Archived(len(names), file.stat().st_size, tuple(damage))


def holds_replay(file: Path) -> bool:
    """Whether the archive is of a home for recorded prices; False if it cannot be read, as `restore` reports."""
    with suppress(Exception), zipfile.ZipFile(file) as archive:  # as for `_extracted`
        return bool(json.loads(_unpacked(archive, KIND_OF_PRICES))["prices"] == REPLAY)
    return False


def _copied(home: HomePaths, root: Path) -> Iterator[str]:
    """Copy file by file; yields the names in the order of reading."""
    for name in _names(home):
        if (content := _read(home, name)) is not None:  # else it was cleared away meanwhile
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
            yield name


def _names(home: HomePaths) -> Iterator[str]:
    root = home.root
    for folder in (*(root / name for name in PLACES), home.store):
        for folder_path, _, files in os.walk(folder, onerror=_refuse):
            check_links(Path(folder_path, name) for name in files)  # `glob` passes over these too
    yield from (KIND_OF_PRICES, "tickers.yaml")
    for pattern in ("settings/*.json", "ledger/*.parquet"):
        yield from _under(root, pattern)
    for history in _under(root, "models/*/promotions.jsonl"):
        yield history
        yield from _under(root, *_champions(home, PurePosixPath(history).parts[1]))
    for kind in KINDS.values():
        yield from _under(root, f"bases/{kind.pattern}", f"bases/superseded/*/{kind.pattern}")
    yield from _under(root, "nights/*/*/*")
    stored = [path.relative_to(home.store) for path in home.store.rglob("[!.]*.parquet")]
    yield from (f"store/{path}" for path in sorted(stored, key=lambda path: (-len(path.parts), str(path))))


def _champions(home: HomePaths, ticker: str) -> list[str]:
    """The folders of all champions, and the newest ones' evaluations, from which MLflow's models are made."""
    try:
        champions = Registry(home.models).champion_history(ticker)
    except StockmlError:  # named by `faults`
        return []
    models = dict.fromkeys(Path(champion.path).name for champion in champions)
    newest = champions[-RetentionSettings().champions :]
    nights = (kept_night(home.nights, ticker, champion.key) for champion in newest)
    evaluations = {Path(night.evaluation_folder).name: None for night in nights if night and night.evaluation_folder}
    return [f"models/{ticker}/{name}/*" for name in models] + [f"evaluations/{ticker}/{name}/*" for name in evaluations]


def _refuse(error: OSError) -> None:
    """Raise InvalidFile for an unreadable folder, which `glob` takes for an empty one."""
    if isinstance(error, PermissionError):
        why = f"expected a folder that can be read, found {error.strerror}; restore access, then run this again"
        raise InvalidFile(error.filename, why) from error


def _under(root: Path, *patterns: str) -> list[str]:
    paths = (path for pattern in patterns for path in sorted(root.glob(pattern)))
    return [path.relative_to(root).as_posix() for path in paths if path.is_file() and not path.name.startswith(".")]


def _extracted(file: Path, root: Path) -> list[str]:
    """Unpack an archive that is exactly what its manifest says; returns the names. Raises InvalidFile."""
    try:
        with zipfile.ZipFile(file) as archive:
            size, free = sum(entry.file_size for entry in archive.infolist()), shutil.disk_usage(root).free
            if size > free:
                raise OSError(ENOSPC, f"{file} unpacks to {size:,} bytes, {free:,} are free")
            checksums: dict[str, str] = _manifest(archive)
            for name, checksum in checksums.items():
                content = _unpacked(archive, name)
                if hashlib.sha256(content).hexdigest() != checksum:
                    raise ValueError(f"other content in {name}")
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)
            return list(checksums)
    except FileNotFoundError as error:
        raise InvalidFile(str(file), "expected a backup, found no file; check its name") from error
    except Exception as error:  # zipfile and zlib report damage by a dozen types
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise
        fault = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InvalidFile(str(file), f"expected a whole backup, found {fault}; {WAY_BACK}") from error


def _unpacked(archive: zipfile.ZipFile, name: str) -> bytes:
    """An entry of as many bytes as the archive says: `ZipFile.read` unpacks more. ValueError if too many."""
    info = archive.getinfo(name)
    if info.file_size > max(16 << 20, 100 * info.compress_size):
        raise ValueError(f"{info.file_size:,} bytes of {name} in {info.compress_size:,}")
    with archive.open(name) as entry:
        return entry.read(info.file_size)


def _manifest(archive: zipfile.ZipFile) -> dict[str, str]:
    manifest: dict[str, Any] = json.loads(_unpacked(archive, MANIFEST))
    if manifest.get("format") != FORMAT:
        raise ValueError(f"the format {str(manifest.get('format'))[:40]!r}, this program reads {FORMAT!r}")
    checksums: dict[str, str] = manifest["files"]
    if {MANIFEST, *checksums} != set(archive.namelist()):
        raise ValueError("other files than its manifest names")
    for name in checksums:
        path = PurePosixPath(name)
        if ".." in path.parts or path.parts[0] not in PLACES or str(path) in PLACES[2:]:
            raise ValueError(f"a file {name[:80]!r} that no home has")
    return checksums


@contextmanager
def _staging(home: HomePaths, parent: Path) -> Iterator[HomePaths]:
    """A temporary folder in `parent`, as a home; removes those that killed processes left there.

    Raises DiskFull, naming `parent`, if the block finds no room.
    """
    for leftover in parent.glob(f"{STAGING}*"):
        if is_gone(leftover.name.removeprefix(STAGING).rpartition("-")[0].replace("@", ":")):
            shutil.rmtree(leftover, ignore_errors=True)
    prefix = f"{STAGING}{mark()}-".replace(":", "@")  # memory sticks allow no colon in a name
    root = Path(tempfile.mkdtemp(prefix=prefix, dir=parent.resolve()))
    try:
        yield replace(home, root=root, store=root / "store")
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFull(str(parent), error.strerror or str(error)) from error
        raise
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _faults_of_copy(staging: HomePaths, home: HomePaths) -> list[str]:
    """The faults of the copy, with the home's own paths."""
    return [fault.replace(str(staging.root), str(home.root)) for fault in faults(staging)]


def _location(home: HomePaths, name: str) -> Path:
    top, _, rest = name.partition("/")
    return home.store / rest if top == "store" else home.root / name


def _read(home: HomePaths, name: str) -> bytes | None:
    return read_if_there(_location(home, name))
