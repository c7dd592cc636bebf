"""One archive of all that cannot be made again, taken while nights run, and restored whole or not at all.

It holds what ARCHITECTURE names under State, but nothing that is computed again, neither MLflow's nor Prefect's
database, and no secrets.

A file is read before those that it rests on: a forecast before its bars, a promotion before its model. As files are
replaced whole, never edited, what a copied file rests on is in the copy as it was then, or a little newer.
"""

import hashlib
import json
import os
import secrets
import shlex
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
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
from stockml.storage.files import NO_ROOM, sync_folder, write_atomically
from stockml.storage.objects import Objects, StoredObject
from stockml.storage.os_errors import RESTORING, check_links
from stockml.storage.process_marks import is_gone, mark

FORMAT = "stockml backup, 1"
MANIFEST, ARCHIVE, STAGING = "manifest.json", "archive.zip", ".staging-"
PLACES = (KIND_OF_PRICES, "tickers.yaml", "settings", "ledger", "models", "bases", "nights", "evaluations", "store")
WAY_BACK = "take another copy of it, or an older backup; nothing was restored"


@dataclass(frozen=True)
class Archived:
    """What was archived or restored: how many files, the archive's bytes, and a line for each one damaged or gone."""

    files: int
    size: int
    damaged: tuple[str, ...]


def back_up(home: HomePaths, file: Path, now: datetime) -> Archived:
    """Write the archive to a new file, damaged files included and named. Raises InvalidFile, OSError, leaving none."""
    if file.exists():
        there = "a folder" if file.is_dir() else "one"
        raise InvalidFile(str(file), f"expected a name for a new file, found {there} there; name another")
    if not file.parent.is_dir():
        raise InvalidFile(str(file), f"expected a folder to archive in, found no {file.parent}; make it")
    with _staging(home, file.parent) as staged:  # not in the home, whose disk may be full or read-only
        if not (names := list(_copied(home, staged.root))):
            why = "expected a home with something to archive, found nothing; name another in STOCKML_HOME"
            raise InvalidFile(str(home.root), why)
        found = _found(staged, home)
        sums = {name: hashlib.sha256((staged.root / name).read_bytes()).hexdigest() for name in names}
        about = {"format": FORMAT, "made_at": now.isoformat(), "files": sums, "damaged": found}
        with (staged.root / ARCHIVE).open("wb") as made:
            with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(MANIFEST, json.dumps(about, indent=1))
                for name in names:
                    archive.write(staged.root / name, name)
            made.flush()
            os.fsync(made.fileno())
        os.replace(staged.root / ARCHIVE, file)
        sync_folder(file.parent)
        return Archived(len(names), file.stat().st_size, tuple(found))


def restore(home: HomePaths, file: Path, only: str | None = None) -> Archived:
    """Restore the archive's files into a home that lacks them or has the very same; after a kill, repeat it to go on.

    Until then, the home is refused to nights and other commands (`check_home`).

    only: one file, or all below a folder (`ledger/IBM.parquet`, `models/IBM`), such as damaged ones that were moved
    away; where machines share the state, which brings those back, they are moved to `damaged/` here. Raises InvalidFile
    for an archive that is not whole or a home with other content, DiskFull if there is no room to unpack it; nothing is
    changed then.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    with _staging(home, home.root) as staged:
        below = "" if only is None else f"{only.rstrip('/')}/"
        names = [name for name in _extracted(file, staged.root) if f"{name}/".startswith(below)]
        if not names:
            raise InvalidFile(str(file), f"expected {only} in the archive, found nothing of that name")
        damaged = _damaged(home, names) if home.state and only else set()
        for name in names:
            if name not in damaged and _read(home, name) not in (None, (staged.root / name).read_bytes()):
                objects, within = _place(home, name)
                why = "expected a home without it, found other content than the archive's"
                way_on = "move it away, or name an empty folder in STOCKML_HOME"
                raise InvalidFile(objects.address(within), f"{why}; {way_on}")
        found = _found(staged, home)
        command = ["stockml", "restore", str(file.resolve()), *([] if only is None else ["--only", only])]
        mark = home.locks / RESTORING
        begun = shlex.split(mark.read_text(encoding="utf-8")) if mark.exists() else command
        is_finished_by_this = only is None or begun[3:] == command[3:]  # from wherever the archive is by now
        if is_finished_by_this:
            write_atomically(mark, shlex.join(command).encode())
        aside = home.root / "damaged" / secrets.token_hex(4)
        for name in damaged:
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(home.root / name, aside / name)
        for name in reversed(names):  # first what others rest on
            if _read(home, name) is None:
                objects, within = _place(home, name)
                objects.replace(within, (staged.root / name).read_bytes(), StoredObject(None))
        if is_finished_by_this:
            mark.unlink()
        return Archived(len(names), file.stat().st_size, tuple(found))


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
    for folder in (*(str(root / place) for place in PLACES), home.store):
        for place, _, files in os.walk(folder, onerror=_refuse):
            check_links(Path(place, name) for name in files)  # `glob` passes over these too
    yield from (KIND_OF_PRICES, "tickers.yaml")
    for pattern in ("settings/*.json", "ledger/*.parquet"):
        yield from _under(root, pattern)
    for history in _under(root, "models/*/promotions.jsonl"):
        yield history
        yield from _under(root, *_champions(home, PurePosixPath(history).parts[1]))
    for kind in KINDS.values():
        yield from _under(root, f"bases/{kind.pattern}", f"bases/superseded/*/{kind.pattern}")
    yield from _under(root, "nights/*/*/*")
    kept = [PurePosixPath(name) for name in Objects(home.store).names("")]
    parquet = [path for path in kept if path.suffix == ".parquet" and not path.name.startswith(".")]
    yield from (f"store/{path}" for path in sorted(parquet, key=lambda path: (-len(path.parts), str(path))))


def _champions(home: HomePaths, ticker: str) -> list[str]:
    """The folders of all champions, and the newest ones' evaluations, from which MLflow's models are made."""
    try:
        champions = Registry(home.models).champion_history(ticker)
    except StockmlError:  # named by `faults`
        return []
    models = dict.fromkeys(Path(champion.path).name for champion in champions)
    newest = champions[-RetentionSettings().champions :]
    nights = (kept_night(home.nights, ticker, champion.key) for champion in newest)
    assessed = {Path(night.evaluation_folder).name: None for night in nights if night and night.evaluation_folder}
    return [f"models/{ticker}/{name}/*" for name in models] + [f"evaluations/{ticker}/{name}/*" for name in assessed]


def _refuse(error: OSError) -> None:
    """Raise InvalidFile for a folder that may not be read, which `glob` takes for an empty one."""
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
            size, free = sum(each.file_size for each in archive.infolist()), shutil.disk_usage(root).free
            if size > free:
                raise OSError(ENOSPC, f"{file} unpacks to {size:,} bytes, {free:,} are free")
            sums: dict[str, str] = _manifest(archive)
            for name, wanted in sums.items():
                content = _unpacked(archive, name)
                if hashlib.sha256(content).hexdigest() != wanted:
                    raise ValueError(f"other content in {name}")
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)
            return list(sums)
    except FileNotFoundError as error:
        raise InvalidFile(str(file), "expected a backup, found no file; check its name") from error
    except Exception as error:  # zipfile and zlib report damage by a dozen types
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InvalidFile(str(file), f"expected a whole backup, found {what}; {WAY_BACK}") from error


def _unpacked(archive: zipfile.ZipFile, name: str) -> bytes:
    """An entry of as many bytes as the archive says: `ZipFile.read` unpacks more. ValueError if too many."""
    about = archive.getinfo(name)
    if about.file_size > max(16 << 20, 100 * about.compress_size):
        raise ValueError(f"{about.file_size:,} bytes of {name} in {about.compress_size:,}")
    with archive.open(name) as entry:
        return entry.read(about.file_size)


def _manifest(archive: zipfile.ZipFile) -> dict[str, str]:
    about: dict[str, Any] = json.loads(_unpacked(archive, MANIFEST))
    if about.get("format") != FORMAT:
        raise ValueError(f"the format {str(about.get('format'))[:40]!r}, this program reads {FORMAT!r}")
    sums: dict[str, str] = about["files"]
    if {MANIFEST, *sums} != set(archive.namelist()):
        raise ValueError("other files than its manifest names")
    for name in sums:
        path = PurePosixPath(name)
        if ".." in path.parts or path.parts[0] not in PLACES or str(path) in PLACES[2:]:
            raise ValueError(f"a file {name[:80]!r} that no home has")
    return sums


@contextmanager
def _staging(home: HomePaths, beside: Path) -> Iterator[HomePaths]:
    """A temporary folder in `beside`, as a home whose store is local; removes those that killed processes left there.

    Raises DiskFull, naming `beside`, if the block finds no room.
    """
    for left in beside.glob(f"{STAGING}*"):
        if is_gone(left.name.removeprefix(STAGING).rpartition("-")[0].replace("@", ":")):
            shutil.rmtree(left, ignore_errors=True)
    own = f"{STAGING}{mark()}-".replace(":", "@")  # memory sticks allow no colon in a name
    root = Path(tempfile.mkdtemp(prefix=own, dir=beside.resolve()))
    try:
        yield replace(home, root=root, store=str(root / "store"))
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DiskFull(str(beside), error.strerror or str(error)) from error
        raise
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _found(staged: HomePaths, home: HomePaths) -> list[str]:
    """The faults of the copy, with the home's own paths."""
    return [fault.replace(str(staged.root), str(home.root)) for fault in faults(staged)]


def _damaged(home: HomePaths, names: Iterable[str]) -> set[str]:
    """Those of these files that are damaged here, or in a folder that is."""
    told = tuple(faults(home))
    paths = {name: home.root / name for name in names}
    return {
        name
        for name, path in paths.items()
        if path.exists() and any(fault.startswith((f"{path}: ", f"{path.parent}: ")) for fault in told)
    }


def _place(home: HomePaths, name: str) -> tuple[Objects, str]:
    top, _, rest = name.partition("/")
    return (Objects(home.store), rest) if top == "store" else (Objects(str(home.root)), name)


def _read(home: HomePaths, name: str) -> bytes | None:
    objects, within = _place(home, name)
    return objects.read(within).content
