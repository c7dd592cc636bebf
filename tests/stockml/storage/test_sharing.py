"""Commands where machines share a home's state, beside runs and readers at the same time."""

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from stockml.errors import StoreBusy, StoreError
from stockml.home import HomePaths
from stockml.maintenance.rename import rename
from stockml.storage.locks import file_lock
from stockml.storage.manifests import ATTEMPT, COMMON, LAST_RUN_SUFFIX
from stockml.storage.shared_state import Depth, SharedState
from stockml.storage.sharing import commit_all, commit_merged, refresh, rename_lock, ticker_lock, unreferenced_before
from tests.support.object_store import ObjectStore
from tests.support.patience import PATIENCE_S
from tests.support.postgres_server import needs_postgres


def test_a_command_does_not_take_a_file_as_removed_while_a_reader_replaces_it(
    home: HomePaths, s3_folder: str, tmp_path: Path
) -> None:
    here = replace(home, state=s3_folder, database="nobody@127.0.0.1:1")
    away = replace(here, root=tmp_path / "away")
    attempt = away.nights / "IBM" / ATTEMPT
    attempt.parent.mkdir(parents=True)
    attempt.write_text("newest")
    commit_merged(away, "IBM" + LAST_RUN_SUFFIX)
    refresh(here)
    [brought] = here.nights.rglob(ATTEMPT)
    with file_lock(here.locks / f"IBM{LAST_RUN_SUFFIX}.lock", 0):  # held as by a reader that replaces the file
        brought.unlink()
        commit_all(here, may_remove=True)
    state = SharedState.of(here)
    assert state
    state.checkout(f"IBM{LAST_RUN_SUFFIX}")
    assert brought.read_text() == "newest"
    brought.unlink()
    commit_all(here, may_remove=True)
    refresh(away)
    assert not attempt.exists()


@needs_postgres
def test_what_was_deleted_from_a_cache_comes_back_and_is_never_taken_for_a_clean_up(
    two_homes: tuple[HomePaths, HomePaths],
) -> None:
    """As by `rm -rf $STOCKML_HOME/*`, which leaves what the cache knows of the state."""
    here, away = two_homes
    forecasts = here.ledger / "IBM.parquet"
    forecasts.parent.mkdir(parents=True)
    forecasts.write_text("years of forecasts")
    commit_all(here)
    refresh(here)
    forecasts.unlink()
    refresh(here)
    assert forecasts.read_text() == "years of forecasts"
    commit_all(here, may_remove=True)
    refresh(away)
    assert (away.ledger / "IBM.parquet").read_text() == "years of forecasts"


def test_the_objects_of_a_part_that_is_not_listed_are_not_left_over(home: HomePaths, s3_folder: str) -> None:
    here = replace(home, state=s3_folder, database="nobody@127.0.0.1:1")
    here.root.mkdir()
    (here.root / "prices.json").write_text("{}")
    commit_all(here)
    state = SharedState.of(here)
    assert state
    state.objects.remove([f"parts/{COMMON}.json"])
    with pytest.raises(StoreError, match=r"_common\.json: expected _common, which .* has seen there, found nothing"):
        unreferenced_before(here, datetime.now(UTC) + timedelta(days=1), remove=True)
    assert len(state.objects.names("objects")) == 1


@needs_postgres
def test_a_rename_waits_for_no_night_on_another_machine_and_leaves_no_moment_without_its_files(
    two_homes: tuple[HomePaths, HomePaths],
) -> None:
    here, away = two_homes
    before, after = (here.models / ticker / "model.json" for ticker in ("FB", "META"))
    before.parent.mkdir(parents=True)
    before.write_text("a champion")
    commit_all(here)
    refresh(away)
    there = SharedState.of(away)
    assert there
    with there.database.locked("FB", 0), pytest.raises(StoreBusy, match=r"FB.*waited 1 s"):
        rename(here, "FB", "META", missed=print)
    assert before.read_text() == "a champion"
    with ExitStack() as held:
        held.enter_context(pytest.raises(StoreBusy, match=r"parts/FB\.json.*run again"))
        held.enter_context(rename_lock(here, "FB", "META"))
        before.parent.rename(after.parent)
        (away.models / "FB" / "model.json").write_text("of a night that lost its lock")
        there.commit("FB")
    refresh(away)
    assert {path.parent.name: path.read_text() for path in away.models.rglob("model.json")} == {
        "META": "a champion",
        "FB": "of a night that lost its lock",
    }


def test_a_state_that_was_moved_away_meanwhile_is_not_begun_anew(home: HomePaths, tmp_path: Path) -> None:
    """With the new base alone in it: every other machine would then delete its list, settings and bases."""
    here = replace(home, state=(tmp_path / "state").as_uri(), database="nobody@127.0.0.1:1")
    here.tickers.parent.mkdir(parents=True)
    here.tickers.write_text("tickers: [IBM]")
    commit_all(here)
    (tmp_path / "state").rename(tmp_path / "moved")
    here.bases.mkdir()
    (here.bases / "base-2020.npz").write_text("learned meanwhile")
    with pytest.raises(StoreError, match=r"expected _common, which .* has seen there, found nothing"):
        commit_merged(here)
    assert not (tmp_path / "state" / "parts").exists()
    (tmp_path / "state").mkdir(exist_ok=True)
    shutil.copytree(tmp_path / "moved", tmp_path / "state", dirs_exist_ok=True)
    commit_merged(here)
    refresh(away := replace(here, root=tmp_path / "away"))
    assert away.tickers.read_text() == "tickers: [IBM]"
    assert (away.bases / "base-2020.npz").read_text() == "learned meanwhile"


@needs_postgres
def test_a_ticker_that_another_machine_committed_meanwhile_keeps_no_other_from_being_committed(
    two_homes: tuple[HomePaths, HomePaths],
) -> None:
    """As for a folder's import, or the weekly clean-up, while nights run elsewhere."""
    here, away = two_homes
    for place, tickers in ((away, ["IBM"]), (here, ["IBM", "MSFT"])):
        place.ledger.mkdir(parents=True)
        for ticker in tickers:
            (place.ledger / f"{ticker}.parquet").write_text(f"of {place.root.name}")
    commit_all(away)
    with pytest.raises(StoreBusy, match=r"parts/IBM\.json.*run again"):
        commit_all(here)
    refresh(away)
    assert {path.name: path.read_text() for path in away.ledger.iterdir()} == {
        "IBM.parquet": "of away",
        "MSFT.parquet": f"of {here.root.name}",
    }


def test_a_machine_asks_the_store_once_for_all_that_is_current_and_once_for_each_thing_that_is_not(
    home: HomePaths, s3_folder: str, s3_server: ObjectStore, tmp_path: Path
) -> None:
    """Each part was asked for in turn, three times, and each of its files twice: minutes on a slow line."""
    here = replace(home, state=s3_folder, database="nobody@127.0.0.1:1")
    away = replace(here, root=tmp_path / "away")
    write(here, "tickers.yaml", "ledger/IBM.parquet", "models/IBM/model.json", "ledger/KO.parquet")
    for part in (COMMON, "IBM", "KO"):
        state_of(here).commit(part)
    for tickers, depth, asked in (
        (["KO"], Depth.NIGHT, {"LIST": 1, "HEAD": 1, "GET": 2 + 2}),  # the list of tickers too
        (["KO"], Depth.NIGHT, {"LIST": 1}),
        (None, Depth.STATUS, {"LIST": 1, "GET": 2}),
        (None, Depth.NIGHT, {"LIST": 1, "GET": 2}),
        ((), Depth.NIGHT, {"LIST": 1}),
    ):
        before = s3_server.asked()
        refresh(away, tickers, depth)
        assert s3_server.asked() - before == asked
    assert (away.models / "IBM" / "model.json").read_text() == "models/IBM/model.json"


def test_what_a_machine_could_not_commit_of_a_new_ticker_is_set_aside_once_another_has_committed_it(
    home: HomePaths, tmp_path: Path
) -> None:
    """An import on two machines, of which one was killed: each later command told it to name an empty folder."""
    here = replace(home, state=(tmp_path / "state").as_uri(), database="nobody@127.0.0.1:1")
    away = replace(here, root=tmp_path / "away")
    for machine in (here, away):
        refresh(machine)
        write(machine, "ledger/IBM.parquet")
    (away.ledger / "IBM.parquet").write_text("of the one that was killed")
    state_of(here).commit("IBM")
    refresh(away)
    assert (away.ledger / "IBM.parquet").read_text() == "ledger/IBM.parquet"
    [aside] = (path for path in (away.root / "uncommitted").rglob("*") if path.is_file())
    assert aside.read_text() == "of the one that was killed"


def write(machine: HomePaths, *names: str) -> None:
    for name in names:
        (machine.root / name).parent.mkdir(parents=True, exist_ok=True)
        (machine.root / name).write_text(name)


class Meeting(MemoryFileSystem):
    """An object store that answers one request for a ticker only once there is another."""

    protocol = "meeting"
    both = threading.Barrier(2)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(path.replace("meeting:", "memory:"))

    def cat_file(self, path: str, *range: Any, **options: Any) -> Any:
        if "parts/K" in path:
            self.both.wait(PATIENCE_S)
        return super().cat_file(path, *range, **options)


def test_tickers_are_checked_out_and_committed_at_the_same_time(home: HomePaths, tmp_path: Path) -> None:
    """One after the other, a new machine waited minutes for hundreds of tickers."""
    fsspec.register_implementation("meeting", Meeting, clobber=True)
    here = replace(home, state=f"meeting://{tmp_path.name}", database="nobody@127.0.0.1:1")
    names = [f"nights/{ticker}/{ATTEMPT}" for ticker in ("KO", "KR")]
    write(here, *names)
    with ThreadPoolExecutor() as both:
        list(both.map(lambda ticker: commit_merged(here, ticker + LAST_RUN_SUFFIX), ("KO", "KR")))
    for name in names:
        (here.root / name).write_text("changed")
    commit_all(here)
    refresh(away := replace(here, root=tmp_path / "away"))
    assert [(away.root / name).read_text() for name in names] == ["changed", "changed"]


class Interrupted(MemoryFileSystem):
    """An object store during whose first answer with an object something else happens."""

    protocol = "interrupted"
    meanwhile: ClassVar[list[Callable[[], object]]] = []

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(path.replace("interrupted:", "memory:"))

    def cat_file(self, path: str, *range: Any, **options: Any) -> Any:
        if "/objects/" in path and self.meanwhile:
            self.meanwhile.pop()()
        return super().cat_file(path, *range, **options)


@pytest.mark.parametrize(
    ("changed", "brought"), [("tickers.yaml", "settings/IBM.json"), ("store/history/IBM.parquet", "ledger/IBM.parquet")]
)
def test_what_a_command_changes_while_a_reader_brings_other_files_is_committed(
    home: HomePaths, tmp_path: Path, changed: str, brought: str
) -> None:
    """A list that is edited, or a history that is imported: it counted as committed, and stayed on this machine."""
    fsspec.register_implementation("interrupted", Interrupted, clobber=True)
    here = replace(home, state=f"interrupted://{tmp_path.name}", database="nobody@127.0.0.1:1")
    away = replace(here, root=tmp_path / "away")
    for machine, name in ((here, changed), (away, brought)):
        refresh(machine)
        (machine.root / name).parent.mkdir(parents=True, exist_ok=True)
        (machine.root / name).write_text("before")
        for part in (COMMON, "IBM"):
            state_of(machine).commit(part)
    Interrupted.meanwhile = [lambda: (here.root / changed).write_text("what a command changed")]
    refresh(here)
    assert not Interrupted.meanwhile
    for part in (COMMON, "IBM"):
        state_of(here).commit(part)
    refresh(away)
    assert (away.root / changed).read_text() == "what a command changed"


def state_of(machine: HomePaths) -> SharedState:
    state = SharedState.of(machine)
    assert state
    return state


@needs_postgres
def test_a_command_leaves_a_ticker_to_its_night_on_another_machine(two_homes: tuple[HomePaths, HomePaths]) -> None:
    """An import, a clean-up, or any command of a machine whose own night was killed: the other's night was refused."""
    here, away = two_homes
    with ticker_lock(away, "IBM"):
        for place in (here, away):
            place.ledger.mkdir(parents=True)
        for ticker in ("IBM", "MSFT"):
            (here.ledger / f"{ticker}.parquet").write_text("of a command")
        with pytest.raises(StoreBusy, match=r"IBM: another process holds this lock"):
            commit_all(here)
        (away.ledger / "IBM.parquet").write_text("of a night")
    refresh(away)
    assert (away.ledger / "IBM.parquet").read_text() == "of a night"
    assert (away.ledger / "MSFT.parquet").read_text() == "of a command"
