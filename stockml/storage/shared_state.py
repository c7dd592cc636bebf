"""State that machines without a common disk share: a home's files at an address, of which each home is a cache.

A ticker's files are one part of the state, files that belong to no ticker another. A part is a *manifest*, which maps
file names to SHA-256s; the files themselves are objects that are named by their content and never changed. So a part
changes in one step, when its manifest is replaced: a night killed before that has changed nothing, and of two that
began from the same state one is refused (`objects`). Runs and readers come here through `sharing`.
"""

import hashlib
import json
import os
import secrets
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from stockml.errors import CommitConflict, StoreError
from stockml.home import HomePaths
from stockml.storage.documents import Database
from stockml.storage.files import write_atomically
from stockml.storage.manifests import (
    COMMON,
    LAST_WRITER_WINS,
    WAITING,
    Manifest,
    conflicts,
    files_of,
    is_merged,
    merged,
    tickers_of,
)
from stockml.storage.objects import AT_ONCE, Objects, WriteConflict

ATTEMPTS = 5
SECOND = 1_000_000_000

Stat: TypeAlias = tuple[int, int]  # bytes, nanoseconds of the last change


class Depth(IntEnum):
    """How much of a part to check out: what the table of all tickers needs, what a night reads, or everything."""

    STATUS = 0
    NIGHT = 1
    EVERYTHING = 2

    def wants(self, name: str) -> bool:
        written_only = name.startswith(("payloads/", "evaluations/", "datasets/"))  # a later night does not read them
        return self is Depth.EVERYTHING or not (written_only or (self is Depth.STATUS and name.startswith("models/")))


@dataclass(frozen=True)
class CheckedOut:
    """What this cache knows of a part: the manifest checked out, and the files here that are as committed.

    version: the server's, of that manifest.  adopted: files were here before the part was first checked out; of
    COMMON, any.
    """

    manifest: Manifest
    local: dict[str, Stat]
    depth: Depth = Depth.STATUS
    version: str | None = None
    adopted: bool = False


@dataclass(frozen=True)
class SharedState:
    """The state at `address`, with `root` as its cache."""

    address: str
    root: Path
    database: Database

    @classmethod
    def of(cls, home: HomePaths) -> "SharedState | None":
        """The state that the home is a cache of; None if the home is the state itself."""
        if home.state is None or home.database is None:
            return None
        return cls(home.state, home.root, Database(home.database, home.state))

    def checkout(self, part: str, depth: Depth = Depth.EVERYTHING, version: str | None = None) -> None:
        """Bring the part's files here as committed, as far as `depth` wants them; others may be absent.

        A local change that was never committed stays if the state has not moved on since, and is otherwise moved to
        `uncommitted/`. Call it under the part's lock. Raises StoreError, also if the folder holds files of its own.
        """
        stored, cached = self.objects.read(_manifest(part), version), self._read_index(part)
        stats = {name: stat for name in files_of(self.root, part) if (stat := _stat(self.root / name))}
        names_here = set(stats)
        if cached is None:
            cached = CheckedOut(Manifest(part), {}, adopted=self._is_own(part, names_here))
        if stored.content is None:
            if cached.manifest.commit:
                raise self._missing_part(part)
            self._remember(part, cached)
            return
        manifest = Manifest.read(stored.content, self.objects.address(_manifest(part)))
        is_new = cached.adopted and not cached.manifest.commit
        if own_file := next((name for name in sorted(names_here) if is_new and self._differs(manifest, name)), None):
            why = f"expected a cache of {self.address}, found {own_file}, which is this folder's own"
            raise StoreError(str(self.root), f"{why}; name an empty folder in STOCKML_HOME")
        changed_here = {name for name in names_here if cached.local.get(name) != stats[name]}
        changed_there = {name for name in names_here if manifest.files.get(name) != cached.manifest.files.get(name)}
        differing = {name for name in changed_here if self._differs(manifest, name)}
        committed = (names_here - changed_here - changed_there) | (changed_here - differing)
        if is_merged(part):
            mine = differing - changed_there
        else:  # changes to what is committed now, or to an earlier state
            mine = differing if manifest.commit == cached.manifest.commit else set()
        for name in names_here - committed - mine:
            self._move_aside(part, cached, name)
        to_download = [name for name in manifest.files if depth.wants(name) and name not in committed | mine]
        downloaded = self._download(manifest, to_download)
        local = {name: stats[name] for name in committed} | downloaded  # as seen first: a command may change them
        self._remember(part, CheckedOut(manifest, local, depth, stored.version, cached.adopted))

    def commit(self, part: str, *, may_remove: bool = False, held: bool = True) -> bool:
        """Commit the part's files as they are here; False if nothing changed.

        may_remove: a file that was deleted here leaves the state too, as a night's mark `waiting` always does.
        held: the caller has the ticker's lock; otherwise a commit that changes something takes it.  Raises StoreBusy if
        that is not free; CommitConflict if another machine was faster, whose state stands; and StoreError.
        """
        cached, names_here = self._read_index(part) or CheckedOut(Manifest(part), {}), files_of(self.root, part)
        files, bodies, local = dict(cached.manifest.files), dict[str, bytes](), dict[str, Stat]()
        for name in cached.local.keys() - set(names_here):
            if may_remove or PurePosixPath(name).name == WAITING:
                files.pop(name, None)
        for name in names_here:
            with suppress(FileNotFoundError):  # a clean-up has removed it meanwhile
                stat = _stat(self.root / name) or (0, 0)
                if cached.local.get(name) != stat:
                    content = (self.root / name).read_bytes()
                    sha = hashlib.sha256(content).hexdigest()
                    if name not in files or files[name][0] != sha:
                        files[name] = (sha, len(content), stat[1] // SECOND)
                        bodies[_object(sha)] = content
                local[name] = stat
        manifest = cached.manifest
        if changed := files != manifest.files:
            with nullcontext() if held or is_merged(part) else self.database.locked(part, 0):
                self.objects.put(bodies)
                manifest = self._replace(part, manifest, replace(manifest, files=files, commit=secrets.token_hex(8)))
            if manifest.files != files:  # another machine's changes to other files, not here yet
                manifest = replace(cached.manifest, files=files)
        if local != cached.local:
            self._remember(part, replace(cached, manifest=manifest, local=local, version=None))
        return changed

    def parts(self) -> dict[str, str | None]:
        """The version of each part of the state, by the part's name."""
        objects = self.objects.names("parts").items()
        versions = {name.removeprefix("parts/").removesuffix(".json"): details.get("ETag") for name, details in objects}
        return {part: version for part, version in versions.items() if "/" not in part}  # ../ would leave the home

    def is_current(self, part: str, version: str | None, depth: Depth) -> bool:
        """Whether the part was checked out at this version, at least this deep, and nothing was deleted here since."""
        cached = self._read_index(part)
        if cached is None or version is None or version != cached.version or cached.depth < depth:
            return False
        return all((self.root / name).exists() for name in cached.local)

    def parts_here(self) -> set[str]:
        return {path.stem for path in (self.root / ".shared").glob("*.json")} | set(tickers_of(self.root)) | {COMMON}

    def unreferenced(self) -> dict[str, dict[str, Any]]:
        """Objects that no manifest refers to, by name: those of earlier states, and of commits in progress.

        Raises StoreError if a part that was seen here is not listed: its objects would seem unreferenced.
        """
        objects, parts = self.objects.names("objects"), self.parts()
        for part in sorted(self.parts_here() - parts.keys()):
            if (cached := self._read_index(part)) and cached.manifest.commit:
                raise self._missing_part(part)
        manifests = [_manifest(part) for part in parts]
        for start in range(0, len(manifests), AT_ONCE):
            for content in self.objects.fetch(manifests[start : start + AT_ONCE]).values():
                for sha, *_ in Manifest.read(content, self.address).files.values():
                    objects.pop(_object(sha), None)
        return objects

    @cached_property
    def objects(self) -> Objects:
        return Objects(self.address)

    def _replace(self, part: str, before: Manifest, after: Manifest) -> Manifest:
        """Replace the part's manifest; in a merged part another machine's changes to other files are kept.

        Raises CommitConflict if another machine changed the same file, or any of a part that is not merged.
        """
        mine, at_stake = after.files, list[str]()
        for _ in range(ATTEMPTS):
            stored = self.objects.read(_manifest(part))
            if before.commit and stored.content is None:
                raise self._missing_part(part)
            current = Manifest.read(stored.content, self.address) if stored.content else Manifest(part)
            if current.commit != before.commit:
                if at_stake := conflicts(before.files, mine, current.files) if is_merged(part) else [part]:
                    break
                after = replace(after, files=merged(before.files, mine, current.files))
            with suppress(WriteConflict):
                self.objects.replace(_manifest(part), after.content(), stored)
                return after
        raise CommitConflict(self.objects.address(_manifest(part)), ", ".join(at_stake or [part]))

    def _is_own(self, part: str, names_here: set[str]) -> bool:
        """Whether a part's files may be older than this cache, rather than left by a command that was cut short."""
        if part == COMMON:
            return bool(names_here) or any(tickers_of(self.root))
        common = self._read_index(COMMON)
        return bool(names_here) and (common is None or common.adopted)

    def _missing_part(self, part: str) -> StoreError:
        why = f"expected {part}, which {self.root} has seen there, found nothing; bring the objects back"
        return StoreError(self.objects.address(_manifest(part)), why)

    def _differs(self, manifest: Manifest, name: str) -> bool:
        with suppress(FileNotFoundError):  # a clean-up has removed it meanwhile
            content = (self.root / name).read_bytes()
            return name not in manifest.files or hashlib.sha256(content).hexdigest() != manifest.files[name][0]
        return False

    def _move_aside(self, part: str, cached: CheckedOut, name: str) -> None:
        """Move a file out of the way, or delete it if it has no local change: the state has replaced or dropped it."""
        path = self.root / name
        if cached.local.get(name) == _stat(path) or path.name in LAST_WRITER_WINS:
            path.unlink(missing_ok=True)
            return
        aside = self.root / "uncommitted" / part / secrets.token_hex(4) / name
        aside.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # a clean-up has removed it meanwhile
            os.replace(path, aside)

    def _download(self, manifest: Manifest, names: list[str]) -> dict[str, Stat]:
        downloaded = dict[str, Stat]()
        for start in range(0, len(names), AT_ONCE):
            batch = {name: _object(manifest.files[name][0]) for name in names[start : start + AT_ONCE]}
            contents = self.objects.fetch(set(batch.values()))
            for name, address in batch.items():
                sha, _, written = manifest.files[name]
                if hashlib.sha256(contents[address]).hexdigest() != sha:
                    why = f"expected {name} of {manifest.part}, found other content; it was left as it is"
                    advice = "run it again; if it is still so, bring this object back from a copy"
                    raise StoreError(self.objects.address(address), f"{why}: {advice}")
                write_atomically(self.root / name, contents[address])
                os.utime(self.root / name, (written, written))  # clean-up goes by the age of a file
                downloaded[name] = (len(contents[address]), written * SECOND)
        return downloaded

    def _read_index(self, part: str) -> CheckedOut | None:
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            index = json.loads((self.root / ".shared" / f"{part}.json").read_bytes())
            if index["address"] == self.address:
                local = {name: (size, changed) for name, (size, changed) in index["local"].items()}
                manifest = Manifest.read(index["manifest"].encode(), str(self.root))
                return CheckedOut(manifest, local, Depth(index["depth"]), index["version"], index["adopted"])
        return None

    def _remember(self, part: str, known: CheckedOut) -> None:
        body = {"address": self.address, "manifest": known.manifest.content().decode(), "local": known.local}
        content = json.dumps(body | {"depth": known.depth, "version": known.version, "adopted": known.adopted}).encode()
        write_atomically(self.root / ".shared" / f"{part}.json", content)


def _manifest(part: str) -> str:
    return f"parts/{part}.json"


def _object(sha: str) -> str:
    return f"objects/{sha[:2]}/{sha}"


def _stat(path: Path) -> Stat | None:
    with suppress(FileNotFoundError):
        stat = path.stat()
        return stat.st_size, stat.st_mtime_ns
    return None
