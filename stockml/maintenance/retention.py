"""Retention: finds what is old and no longer needed, and removes it.

Never removed: the store, the ledger, promotion histories, champions and those that a rollback
needs, and the files of nights that MLflow lacks. What cannot be read counts as needed.
"""

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

HALF_WRITTEN = re.compile(r"\..+\.(\d+-\d+\.tmp|removed)").fullmatch  # by a process that was killed
NOT_SEARCHED = {"artifacts", "replay", "results"}  # MLflow's, a home of its own, gone by age
Count = Annotated[int, Field(ge=1, le=36_500)]


class RetentionSettings(FrozenSettings, prefix="keep."):
    """How many days each thing is kept after it was last written; each ticker's newest stays."""

    payload_days: Count = Field(400, description="The provider's answers; they can be parsed again")
    model_days: Count = Field(30, description="Models that are no champion's")
    champions: int = Field(2, description="Champions kept whatever their age", ge=2, le=1_000)
    cache_days: Count = Field(10, description="What is recomputed: series, evaluations, results")
    plot_days: Count = Field(1, description="Plots; MLflow has its own copies")
    night_days: Count = Field(800, description="Records of nights that MLflow has")
    mlflow_nights: Count = Field(5, description="Each ticker's newest nights with models in MLflow")
    mlflow_days: Count = Field(120, description="MLflow's runs of models that are no champion's")


@dataclass(frozen=True)
class Removal:
    """A file or folder that may go. `size` is in bytes, `written` the newest time within it."""

    kind: str
    path: Path
    size: int
    written: datetime


def due(home: HomePaths, keep: RetentionSettings, now: datetime) -> tuple[list[Removal], list[str]]:
    """What may go at `now` (with its zone), largest first; the faults of unreadable records."""
    old = sorted(_old(home, keep, now), key=lambda each: (-each.size, str(each.path)))
    needed, faults = {home.ledger, Path(home.store)}, list[str]()  # asked last: a night may end now
    for folder in (*_folders(home.models), *_folders(home.nights)):
        try:
            needed |= set(_needed(home, folder, keep.champions))
        except (RecordUnreadable, InvalidFile) as error:
            faults.append(str(error))
            needed |= {each.path for each in old if folder.name in each.path.parts}
    free = (each for each in old if needed.isdisjoint((each.path, *each.path.parents)))
    return [*free, *_leftovers(home, now)], faults


def remove(removals: Iterable[Removal]) -> None:
    """Remove what is still there. A kill leaves nothing half removed in place."""
    for path in (removal.path for removal in removals if removal.path.exists()):
        renamed = path.with_name(f".{path.name.strip('.').removesuffix('.removed')}.removed")
        if renamed != path:
            shutil.rmtree(renamed, ignore_errors=True)  # an interrupted removal's
        path.rename(renamed)
        shutil.rmtree(renamed) if renamed.is_dir() else renamed.unlink()


def _old(home: HomePaths, keep: RetentionSettings, now: datetime) -> Iterator[Removal]:
    for folder in (home.payloads, home.datasets, home.evaluations, home.plots, home.nights):
        days = {home.payloads: keep.payload_days, home.plots: keep.plot_days}
        days |= {home.nights: keep.night_days}
        for of_ticker in _folders(folder):
            found = _measured(folder.name, of_ticker.glob("[!.]*"))
            yield from _before(now, days.get(folder, keep.cache_days), found[:-1])
    for of_ticker in _folders(home.models):
        models = {path for path in of_ticker.glob("[!.]*") if path.is_dir()}
        finished = {path for path in models if (path / "model.json").exists()}  # written last
        yield from _before(now, keep.model_days, _measured("models", finished)[:-1])
        yield from _before(now, keep.cache_days, _measured("checkpoints", models - finished))
    for folder in (home.pretraining, home.results):
        yield from _before(now, keep.cache_days, _measured(folder.name, folder.glob("*")))


def _leftovers(home: HomePaths, now: datetime) -> Iterator[Removal]:
    """What killed processes left, a day ago or longer."""
    places = (path for path in home.root.glob("*") if path.name not in NOT_SEARCHED)
    found = {hidden for place in places for hidden in (place, *place.rglob(".*"))}
    yield from _before(
        now, 1, _measured("leftovers", filter(lambda p: HALF_WRITTEN(p.name), found))
    )


def _before(now: datetime, days: int, found: Iterable[Removal]) -> Iterator[Removal]:
    return (each for each in found if each.written < now - timedelta(days=days))


def _measured(kind: str, paths: Iterable[Path]) -> list[Removal]:
    """Oldest first, without links, and what vanishes: a process is at work on it."""
    removals = []
    for path in (path for path in paths if not path.is_symlink()):
        try:
            stats = [file.stat() for file in path.rglob("*") if file.is_file()] or [path.stat()]
        except FileNotFoundError:
            continue
        written = datetime.fromtimestamp(max(stat.st_mtime for stat in stats), UTC)
        removals.append(Removal(kind, path, sum(stat.st_size for stat in stats), written))
    return sorted(removals, key=lambda removal: removal.written)


def _needed(home: HomePaths, folder: Path, champions: int) -> Iterator[Path]:
    """What a ticker's champions need, or its newest night and those that MLflow lacks."""
    if folder.parent == home.models:
        for promotion in Registry(home.models).champion_history(folder.name)[-champions:]:
            yield Path(promotion.path)
            yield night_path(home.nights, folder.name, promotion.key).parent
            night = kept_night(home.nights, folder.name, promotion.key)
            if night and night.evaluation_folder:
                yield Path(night.evaluation_folder)
        return
    nights = {path.parent: read_night(path) for path in folder.glob("*/night.json")}
    newest = max(nights, key=lambda p: (nights[p].session, nights[p].finished_at), default=None)
    for path, night in nights.items():
        if path == newest or night.mlflow_run_id is None:
            made = (night.model_folder, night.evaluation_folder, night.dataset_path)
            yield from (path, *(Path(each) for each in (*made, night.plots_folder) if each))


def _folders(folder: Path) -> list[Path]:
    """The tickers' folders in it; others, such as copies made by hand, are left alone."""
    return sorted(p for p in folder.glob("*") if p.is_dir() and TICKER.fullmatch(p.name))
