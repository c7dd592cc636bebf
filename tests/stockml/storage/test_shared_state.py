"""State that machines share by address: two caches of one address, and what each may do to the other."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TypeAlias

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stockml.errors import StoreBusy, StoreError
from stockml.storage.documents import Database
from stockml.storage.manifests import COMMON, files_of
from stockml.storage.shared_state import Depth, SharedState

Two: TypeAlias = tuple[SharedState, SharedState]
NOWHERE = Database("nobody@127.0.0.1:1", "no test here asks it")
WRITTEN = 1_300_000_000  # seconds since 1970
LEDGER, NIGHT, PAYLOAD = "ledger/IBM.parquet", "nights/IBM/key/night.json", "payloads/IBM/x.json.gz"


@pytest.fixture
def two(s3_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Two:
    monkeypatch.setattr("stockml.storage.shared_state.AT_ONCE", 1)  # no test has as many files as are asked for at once
    return SharedState(s3_folder, tmp_path / "one", NOWHERE), SharedState(s3_folder, tmp_path / "two", NOWHERE)


def write(state: SharedState, name: str, content: str) -> None:
    (state.root / name).parent.mkdir(parents=True, exist_ok=True)
    (state.root / name).write_text(content)


def read(state: SharedState) -> dict[str, str]:
    return {name: (state.root / name).read_text() for name in files_of(state.root, "IBM")}


def checked_out(state: SharedState) -> dict[str, str]:
    state.checkout("IBM")
    return read(state)


def test_a_machine_checks_out_what_another_committed_and_continues_from_it(two: Two) -> None:
    one, other = two
    one.checkout("IBM")
    write(one, LEDGER, "a forecast")
    write(one, PAYLOAD, "an answer")
    write(one, "nights/IBM/.half.tmp", "half written")
    os.utime(one.root / LEDGER, (WRITTEN, WRITTEN))
    assert one.commit("IBM")
    (one.root / LEDGER).touch()
    assert not one.commit("IBM")
    other.checkout("IBM", Depth.NIGHT)
    assert read(other) == {LEDGER: "a forecast"}  # no later night reads the payload
    assert (other.root / LEDGER).stat().st_mtime == WRITTEN, "a clean-up goes by the age of a file"
    write(other, LEDGER, "two forecasts")
    write(other, NIGHT, "a night")
    assert other.commit("IBM")
    assert checked_out(one) == {LEDGER: "two forecasts", NIGHT: "a night", PAYLOAD: "an answer"}
    assert checked_out(other) == read(one)


REMOVER = """
import shutil, sys
from pathlib import Path

while True:
    for number in range(100):
        file = Path(sys.argv[1], str(number // 5), str(number))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    for number in range(20):
        shutil.rmtree(Path(sys.argv[1], str(number)))
"""


def test_a_clean_up_that_removes_files_meanwhile_stops_neither_commit_nor_checkout(two: Two) -> None:
    one, _ = two
    write(one, LEDGER, "a forecast")
    (one.root / "payloads" / "IBM").mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", REMOVER, str(one.root / "payloads" / "IBM")]) as remover:
        try:
            for _ in range(25):
                one.commit("IBM")
                one.checkout("IBM", Depth.NIGHT)
        finally:
            remover.kill()
    assert read(one)[LEDGER] == "a forecast"


def test_the_second_of_two_nights_from_one_state_is_refused_and_loses_nothing(two: Two) -> None:
    one, other = two
    for state in two:
        state.checkout("IBM")
    write(one, LEDGER, "the first")
    write(other, LEDGER, "the second")
    write(other, NIGHT, "of the second")
    one.commit("IBM")
    with pytest.raises(StoreBusy, match=r"parts/IBM\.json: IBM was committed.*run again"):
        other.commit("IBM")
    assert checked_out(other) == {LEDGER: "the first"}
    assert [path.read_text() for path in (other.root / "uncommitted").rglob("*.parquet")] == ["the second"]


def test_a_killed_nights_leftovers_are_kept_while_nobody_else_has_committed(two: Two) -> None:
    one, other = two
    write(one, LEDGER, "committed")
    one.checkout("IBM")
    one.commit("IBM")
    write(one, NIGHT, "left by a night that was killed")
    assert checked_out(one) == {LEDGER: "committed", NIGHT: "left by a night that was killed"}
    assert checked_out(other) == {LEDGER: "committed"}
    one.commit("IBM")
    assert checked_out(other) == read(one)


def test_a_file_missing_here_comes_back_unless_a_command_removed_it(two: Two) -> None:
    one, other = two
    one.checkout("IBM")
    write(one, "prices.json", "{}")
    one.commit(COMMON)
    write(one, LEDGER, "kept")
    write(one, NIGHT, "old")
    one.commit("IBM")
    (one.root / NIGHT).unlink()
    assert not one.commit("IBM")
    assert NIGHT in checked_out(one)
    (one.root / NIGHT).unlink()
    assert one.commit("IBM", may_remove=True)
    assert checked_out(other) == {LEDGER: "kept"}
    assert len(one.unreferenced()) == 1


def test_an_existing_home_becomes_the_state_but_is_never_mixed_with_another(two: Two) -> None:
    one, other = two
    write(one, "prices.json", "{}")
    one.commit(COMMON)
    for state, content in zip(two, ("years of mine", "years of another"), strict=True):
        write(state, LEDGER, content)
        write(state, "datasets/IBM/bars.parquet", "the same")
        state.checkout(COMMON)
        state.checkout("IBM")
    one.commit("IBM")
    with pytest.raises(StoreBusy):
        other.commit("IBM")
    with pytest.raises(
        StoreError, match=r"a cache of s3://state/stockml, found ledger.*this folder's own.*empty folder"
    ):
        other.checkout("IBM")
    assert read(other)[LEDGER] == "years of another"


def test_files_that_belong_to_no_ticker_are_merged_one_by_one(two: Two) -> None:
    one, other = two
    for state in two:
        state.checkout(COMMON)
    write(one, "prices.json", "{}")
    write(other, "bases/base-2020.npz", "weights")
    one.commit(COMMON)
    other.commit(COMMON)
    write(one, "tickers.yaml", "edited by hand")
    for state in two:
        state.checkout(COMMON)
    assert (one.root / "bases/base-2020.npz").exists()
    assert (one.root / "tickers.yaml").read_text() == "edited by hand"
    assert (other.root / "prices.json").exists()


def test_another_machines_changes_to_common_files_are_taken_over_and_never_undone(two: Two) -> None:
    one, other = two
    one.checkout(COMMON)
    write(one, "prices.json", "old")
    write(one, "tickers.yaml", "old")
    one.commit(COMMON)
    other.checkout(COMMON)
    write(one, "prices.json", "new")
    one.commit(COMMON)
    write(other, "tickers.yaml", "mine")
    other.commit(COMMON)  # merged: the state has both changes, this cache only its own
    other.checkout(COMMON)
    assert (other.root / "prices.json").read_text() == "new"
    write(other, "tickers.yaml", "mine again")
    other.commit(COMMON)
    one.checkout(COMMON)
    assert (one.root / "prices.json").read_text() == "new"
    assert (one.root / "tickers.yaml").read_text() == "mine again"


@pytest.mark.parametrize("name", ["tickers.yaml", "settings/IBM.json", "bases/base-2020.npz"])
def test_the_second_of_two_changes_to_one_common_file_is_refused_and_kept(two: Two, name: str) -> None:
    one, other = two
    for state, content in zip(two, ("the first", "the second"), strict=True):
        state.checkout(COMMON)
        write(state, name, content)
        write(state, "prices.json", "the same")
        write(state, "delistings.json", content)
    one.commit(COMMON)
    with pytest.raises(StoreBusy, match=rf"parts/_common\.json: {name} was committed by another machine.*run again"):
        other.commit(COMMON)
    other.checkout(COMMON)
    assert (other.root / name).read_text() == "the first"
    (aside,) = (path for path in (other.root / "uncommitted").rglob("*") if path.is_file())
    assert (aside.name, aside.read_text()) == (Path(name).name, "the second"), "nobody misses delistings.json"


def test_two_machines_may_ask_for_delistings_at_once_and_the_last_commit_counts(two: Two) -> None:
    for state, content in zip(two, ("the first", "the second"), strict=True):
        state.checkout(COMMON)
        write(state, "prices.json", "the same")
        write(state, "delistings.json", content)
    for state in two:
        state.commit(COMMON)
    two[0].checkout(COMMON)
    assert (two[0].root / "delistings.json").read_text() == "the second"


@pytest.mark.parametrize("damage", ["manifest", "nested", "object", "gone", "all gone"])
def test_damage_is_named_and_never_checked_out(two: Two, s3_folder: str, damage: str) -> None:
    one, other = two
    one.checkout("IBM")
    write(one, LEDGER, "a forecast")
    one.commit("IBM")
    fs, base = fsspec.core.url_to_fs(s3_folder)
    manifest, (stands,) = f"{base}/parts/IBM.json", fs.find(f"{base}/objects")
    if damage == "manifest":
        fs.pipe_file(manifest, fs.cat_file(manifest).replace(b"IBM", b"IBN"))
    elif damage == "nested":
        fs.pipe_file(manifest, b"[" * 100_000)
    elif damage == "object":
        fs.pipe_file(stands, b"another")
    else:
        fs.rm_file(stands if damage == "gone" else manifest)
    fs.invalidate_cache()
    reader = one if damage == "all gone" else other
    with pytest.raises(StoreError, match="expected") as caught:
        reader.checkout("IBM")
    assert "state/stockml" in str(caught.value)
    assert read(one) == {LEDGER: "a forecast"}
    assert read(other) == {}


def test_an_address_that_does_not_answer_is_an_error_and_changes_nothing(
    tmp_path: Path, s3_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = SharedState(s3_folder, tmp_path / "cache", NOWHERE)
    state.checkout("IBM")
    write(state, LEDGER, "a forecast")
    away = SharedState("s3://no-such-bucket/stockml", tmp_path / "cache", NOWHERE)
    with pytest.raises(StoreError, match="see that the address answers"):
        away.commit("IBM")
    assert read(state) == {LEDGER: "a forecast"}
    assert state.commit("IBM")


ACTIONS = st.tuples(
    st.sampled_from([0, 1]), st.sampled_from(["write", "commit", "checkout"]), st.sampled_from([LEDGER, NIGHT])
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(ACTIONS, max_size=14))
def test_nothing_written_is_lost_whatever_two_machines_do(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[int, str, str]]
) -> None:
    """What was written is in the state or its history, in a cache or set aside, unless its own machine overwrote it."""
    fsspec.filesystem("memory").store.clear()
    folder = tmp_path_factory.mktemp("caches")
    machines = [SharedState("memory://state", folder / str(number), NOWHERE) for number in (0, 1)]
    for machine in machines:
        machine.checkout("IBM")
    owed, stands = set[str](), dict[str, str]()
    for number, (which, action, name) in enumerate(actions):
        before = read(machine := machines[which])
        if action == "write":
            committed = bytes_at_the_address()
            if (over := before.get(name)) and not any(over in content for content in committed):
                owed.discard(over)
            write(machine, name, f"<{number}>")
            owed.add(f"<{number}>")
            continue
        try:
            if action == "checkout":
                machine.checkout("IBM")
            elif machine.commit("IBM"):
                stands = before
        except StoreBusy:
            assert before != stands
    everywhere = [path.read_text() for path in folder.rglob("*") if path.is_file()] + bytes_at_the_address()
    assert all(any(each in content for content in everywhere) for each in owed)
    assert checked_out(SharedState("memory://state", folder / "fresh", NOWHERE)) == stands


def bytes_at_the_address() -> list[str]:
    return [bytes(file.getvalue()).decode() for file in fsspec.filesystem("memory").store.values()]
