"""Retention: finds what is old and no longer needed, and its size in bytes, and removes it on request.

Never removed: the store, the ledger, promotion histories, champions, earlier ones that a rollback needs, and the files
of nights that MLflow lacks. What cannot be read counts as needed. Half-written files of killed writers go, wherever
they are.
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field

from stockml.errors import InvalidFile, RecordUnreadable
from stockml.home import HomePaths
from stockml.models.registry import Registry
from stockml.nights.record import kept_night, night_path, read_night
from stockml.settings import FrozenSettings
from stockml.tickers import TICKER

LEFTOVER_DAYS = 1  # a temporary file that is older belongs to no living process
REMOVED = ".removed"
HALF_WRITTEN = re.compile(r"\..+\.\d+-\d+\.tmp").fullmatch  # by `write_atomically`, which was killed
NOT_SEARCHED = {"artifacts", "replay", "results"}  # MLflow's, a home of its own, and where all goes by age
Count = Annotated[int, Field(ge=1, le=36_500)]


class RetentionSettings(FrozenSettings, prefix="keep."):
    """How many days each thing is kept after it was last written; each ticker's newest is kept in any case."""

    # a year of fifty tickers should fit in 2 GB: `python -m tests.bench --only disk` prints what each part takes of it

    payload_days: Count = Field(400, description="The provider's answers; they can be parsed again")
    model_days: Count = Field(30, description="Models that are neither champion nor needed for a rollback")
    champions: int = Field(
        2, description="Champions kept whatever their age: the present one and those before it", ge=2, le=1_000
    )
    checkpoint_days: Count = Field(7, description="Interrupted trainings that were not resumed")
    dataset_days: Count = Field(10, description="Adjusted series; recomputed when missing")
    evaluation_days: Count = Field(10, description="Evaluations; recomputed when missing")
    plot_days: Count = Field(1, description="Plots; MLflow has its own copies")
    night_days: Count = Field(800, description="Records of nights that MLflow has")
    result_days: Count = Field(14, description="Cached results of steps")
    mlflow_nights: Count = Field(5, description="Each ticker's newest nights whose plots and models stay in MLflow")
    mlflow_days: Count = Field(120, description="MLflow's runs of models that are not kept as champions")


@dataclass(frozen=True)
class Removal:
    """A file or folder that may go. `size` is in bytes, `written` the newest time within it."""

    kind: str
    path: Path
    size: int
    written: datetime


@dataclass(frozen=True)
class Needed:
    """What must stay: these paths with their content, and everything of tickers with unreadable files."""

    paths: frozenset[Path]
    tickers: frozenset[str]
    unreadable: tuple[str, ...]  # which files, a line each

    def without(self, removals: Iterable[Removal]) -> tuple[Removal, ...]:
        """Those of them that may go."""
        return tuple(removal for removal in removals if HALF_WRITTEN(removal.path.name) or not self._has(removal.path))

    def _has(self, path: Path) -> bool:
        return not (self.tickers.isdisjoint(path.parts) and self.paths.isdisjoint((path, *path.parents)))


def needed(home: HomePaths, champions: int) -> Needed:
    """Each ticker's newest `champions`, and the files of its newest night and of those that MLflow lacks."""
    paths = {home.ledger, home.store}
    tickers: set[str] = set()
    unreadable: list[str] = []
    for folder in (*_folders(home.models), *_folders(home.nights)):
        try:
            paths |= _of_nights(folder) if folder.parent == home.nights else _of_champions(home, folder.name, champions)
        except (RecordUnreadable, InvalidFile) as error:
            tickers.add(folder.name)
            unreadable.append(str(error))
    return Needed(frozenset(paths), frozenset(tickers), tuple(unreadable))


def outdated(home: HomePaths, keep: RetentionSettings, now: datetime) -> tuple[Removal, ...]:
    """All that is older at `now` (with its zone) than its retention, largest first; some of it may be needed.

    Ask what is needed afterwards, just before removing: so the files of a night that ends meanwhile stay.
    """
    return tuple(sorted(_candidates(home, keep, now), key=lambda removal: (-removal.size, str(removal.path))))


def remove(removals: Iterable[Removal]) -> tuple[Removal, ...]:
    """Remove what is still there; returns what went. A kill leaves nothing half removed in place."""
    removed = []
    for removal in removals:
        if not removal.path.exists():
            continue
        # a model's folder is complete or missing
        renamed = removal.path.with_name(f".{removal.path.name.lstrip('.').removesuffix(REMOVED)}{REMOVED}")
        if renamed != removal.path:  # an interrupted removal's; the folder has been made again since
            shutil.rmtree(renamed, ignore_errors=True)
        removal.path.rename(renamed)
        shutil.rmtree(renamed) if renamed.is_dir() else renamed.unlink()
        removed.append(removal)
    return tuple(removed)


def _candidates(home: HomePaths, keep: RetentionSettings, now: datetime) -> Iterator[Removal]:
    """All that is older than its kind's retention; of most kinds, each ticker's newest is left out."""
    for kind, folder, pattern, days in (
        ("payloads", home.payloads, "*.json.gz", keep.payload_days),
        ("datasets", home.datasets, "*.parquet", keep.dataset_days),
        ("evaluations", home.evaluations, "[!.]*", keep.evaluation_days),
        ("plots", home.plots, "[!.]*", keep.plot_days),
        ("nights", home.nights, "[!.]*", keep.night_days),
    ):
        for ticker_folder in _folders(folder):
            yield from _older(kind, ticker_folder.glob(pattern), now, days, newest_stays=True)
    for ticker_folder in _folders(home.models):
        models = [path for path in ticker_folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        unfinished = [path for path in models if not (path / "model.json").exists()]  # which a training writes last
        yield from _older("checkpoints", unfinished, now, keep.checkpoint_days)
        yield from _older("models", set(models).difference(unfinished), now, keep.model_days, newest_stays=True)
    bases = (*home.pretraining.glob("*"), *home.bases.glob("_pretraining-*"))  # the latter an earlier version's
    yield from _older("checkpoints", bases, now, keep.checkpoint_days)
    locks = (*home.locks.glob("results"), *home.locks.glob("run-*.mark"))  # an earlier version's; of killed runs
    yield from _older("results", (*home.results.glob("*"), *locks), now, keep.result_days)
    for folder in (home.payloads, home.models, home.datasets, home.evaluations, home.plots, home.nights):
        yield from _older("leftovers", folder.glob(f"*/.*{REMOVED}"), now, LEFTOVER_DAYS)
    for root, subfolders, files in os.walk(home.root):
        subfolders[:] = subfolders if Path(root) != home.root else set(subfolders) - NOT_SEARCHED
        yield from _older("leftovers", (Path(root, name) for name in files if HALF_WRITTEN(name)), now, LEFTOVER_DAYS)


def _older(
    kind: str, paths: Iterable[Path], now: datetime, days: int, *, newest_stays: bool = False
) -> Iterator[Removal]:
    measured = (_measured(kind, path) for path in paths if not path.is_symlink())
    by_age = sorted(filter(None, measured), key=lambda removal: removal.written)
    for removal in by_age[:-1] if newest_stays else by_age:
        if removal.written < now - timedelta(days=days):
            yield removal


def _measured(kind: str, path: Path) -> Removal | None:
    """The path's size and newest time; None if one of its files vanishes: a process is at work on it."""
    try:
        files = [file.stat() for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path.stat()]
        written = max((file.st_mtime for file in files), default=path.stat().st_mtime)
    except FileNotFoundError:
        return None
    return Removal(kind, path, sum(file.st_size for file in files), datetime.fromtimestamp(written, UTC))


def _of_champions(home: HomePaths, ticker: str, champions: int) -> set[Path]:
    """The champions' models, and the records and evaluations from which MLflow's versions can be made again."""
    paths: set[Path] = set()
    for promotion in Registry(home.models).champion_history(ticker)[-champions:]:
        night = kept_night(home.nights, ticker, promotion.key)
        paths |= {Path(promotion.path), night_path(home.nights, ticker, promotion.key).parent}
        paths |= {Path(night.evaluation_folder)} if night and night.evaluation_folder else set()
    return paths


def _of_nights(folder: Path) -> set[Path]:
    """The paths of a ticker's newest night and of those that MLflow lacks. Raises InvalidFile."""
    records = {path.parent: read_night(path) for path in folder.glob("*/night.json")}
    pending = {path for path, night in records.items() if night.mlflow_run_id is None}
    newest = max(records, key=lambda path: (records[path].session, records[path].finished_at), default=None)
    needed_nights = pending | ({newest} if newest else set())
    fields = ("model_folder", "evaluation_folder", "dataset_path", "plots_folder")
    paths = (getattr(records[path], field) for path in needed_nights for field in fields)
    return needed_nights | {Path(each) for each in paths if each}


def _folders(folder: Path) -> list[Path]:
    """The tickers' folders in it; folders of other names, such as manual copies, are left alone."""
    return sorted(path for path in folder.glob("*") if path.is_dir() and TICKER.fullmatch(path.name))
