"""A backup brings everything back byte for byte, or says why not; taken while nights run, it is of one moment."""

import itertools
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployments.cli.app import run
from stockml.errors import DiskFull, InvalidFile, StoreError
from stockml.forecasts.ledger import Ledger
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.maintenance import backup
from stockml.models.pooled_vintages import KINDS, SHIPPED
from stockml.models.registry import Registry
from stockml.nights.record import night_path, write_night
from stockml.prices.bars import Split
from stockml.prices.store import BarStore
from stockml.storage.files import write_atomically
from stockml.storage.process_marks import mark
from tests.faults.flipped_bits import kinds
from tests.support.forecasts import bars, day, entry
from tests.support.nights import recorded_night
from tests.support.small_disk import files_of_at_most

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def filled(home: HomePaths) -> HomePaths:
    """A home with something of every kind, and with what a backup leaves out."""
    kinds(home.root)
    champion = Registry(home.models).champion("IBM")
    assert champion
    night = recorded_night(key=champion.key, evaluation_folder=str(home.evaluations / "IBM" / "the champion's"))
    write_night(night, night_path(home.nights, night.ticker, night.key))
    for name in ("the champion's", "another"):
        write_atomically(home.evaluations / "IBM" / name / "assessment.json", b"{}")
        write_atomically(home.evaluations / "IBM" / name / "paths.npz", b"PK\x05\x06" + bytes(18))
    (superseded := home.bases / "superseded" / "0123456789abcdef").mkdir(parents=True)
    for kind in KINDS.values():
        for folder in (home.bases, superseded):
            shutil.copy(min(SHIPPED.glob(kind.pattern)), folder)
    (home.root / "prices.json").write_text('{"prices": "market"}')
    (home.root / "mlflow.db").write_bytes(b"not in a backup")
    return home


@pytest.fixture
def other(tmp_path: Path) -> HomePaths:
    return home_of({"STOCKML_HOME": str(tmp_path / "other")})


def kept(home: HomePaths) -> dict[str, bytes]:
    files = (path for place in backup.PLACES for path in [home.root / place, *(home.root / place).rglob("*")])
    return {
        path.relative_to(home.root).as_posix(): path.read_bytes()
        for path in files
        if path.is_file() and not path.name.startswith(".")
    }


def test_what_was_archived_comes_back_byte_for_byte(filled: HomePaths, other: HomePaths, tmp_path: Path) -> None:
    touched = filled.root.stat().st_mtime_ns
    made = backup.back_up(filled, tmp_path / "b.zip", NOW)
    assert filled.root.stat().st_mtime_ns == touched, "nothing is written to the home, whose disk may be full"
    brought = backup.restore(other, tmp_path / "b.zip")
    assert made == brought
    assert made.damaged == ()
    in_office = {Path(champion.path).name for champion in Registry(filled.models).champion_history("IBM")}
    expected = {
        name: content
        for name, content in kept(filled).items()
        if not name.startswith("models/IBM/0") or Path(name).parent.name in in_office
    }
    for name in ("assessment.json", "paths.npz"):
        del expected[f"evaluations/IBM/another/{name}"]
    assert kept(other) == expected
    assert {name.partition("/")[0] for name in expected} == set(backup.PLACES) - {"tickers.yaml"}
    assert len(expected) == made.files < len(kept(filled))
    assert backup.restore(other, tmp_path / "b.zip") == brought


def test_a_killed_restore_can_be_continued_and_one_over_other_content_changes_nothing(
    filled: HomePaths, other: HomePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup.back_up(filled, tmp_path / "b.zip", NOW)
    real = os.replace

    def dies(source: Path, target: Path) -> None:
        if len(kept(other)) == 4 and other.root in Path(target).parents:
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as dying:
        dying.setattr(os, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            backup.restore(other, tmp_path / "b.zip")
    assert {name.partition("/")[0] for name in kept(other)} == {"store"}, "what others rest on comes first"
    backup.restore(other, tmp_path / "b.zip")
    whole = kept(other)
    Ledger(filled.ledger).publish(entry(20))
    backup.back_up(filled, tmp_path / "newer.zip", NOW)
    with pytest.raises(InvalidFile, match=r"ledger/IBM\.parquet.*move it away"):
        backup.restore(other, tmp_path / "newer.zip")
    assert kept(other) == whole
    assert not list(other.root.glob(".staging-*"))


KILLED = """
import os, sys, zipfile
from datetime import UTC, datetime
from pathlib import Path
from stockml.home import current_home
from stockml.maintenance import backup
zipfile.ZipFile = lambda *_: os.kill(os.getpid(), 9)
backup.back_up(current_home(), Path(sys.argv[1]), datetime.now(UTC))
"""


def test_the_next_backup_removes_what_a_killed_one_left(filled: HomePaths, tmp_path: Path) -> None:
    file = tmp_path / "archives" / "b.zip"
    file.parent.mkdir()
    command = [sys.executable, "-c", KILLED, str(file)]
    killed = subprocess.run(command, env={**os.environ, "STOCKML_HOME": str(filled.root)}, check=False)
    [left] = file.parent.iterdir()
    assert (killed.returncode, ":" in left.name) == (-9, False), "a copy of the home; memory sticks allow no colon"
    (at_work := file.with_name(f"{backup.STAGING}{mark()}-another".replace(":", "@"))).mkdir()
    backup.back_up(filled, file, NOW)
    assert {*file.parent.iterdir()} == {file, at_work}


def test_a_damaged_file_is_archived_as_it_is_and_named_by_its_path_in_the_home(
    filled: HomePaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (damaged := (Ledger(filled.ledger).file("IBM"), filled.models / "IBM" / "promotions.jsonl")):
        file.write_bytes(file.read_bytes()[:-50])
    assert run(["backup", str(tmp_path / "b.zip")]) == 1
    said = capsys.readouterr()
    assert all(f"{file}: expected a readable record" in said.err for file in damaged)
    assert "files archived in" in said.out
    assert run(["backup", str(tmp_path / "c.zip"), "--json"]) == 1
    assert f'"damaged": ["{damaged[0]}: expected a readable' in capsys.readouterr().out
    assert run(["backup", str(tmp_path / "b.zip")]) == 1
    assert "found one there; name another" in capsys.readouterr().err
    assert run(["backup", str(tmp_path)]) == 1
    assert "found a folder there; name another" in capsys.readouterr().err


def test_a_damaged_file_can_be_restored_alone_once_it_is_moved_away(filled: HomePaths, tmp_path: Path) -> None:
    backup.back_up(filled, tmp_path / "b.zip", NOW)
    before = Ledger(filled.ledger).entries("IBM")
    store = BarStore.of(filled)
    store.record_splits("IBM", [Split(day(30), 3.0)], recorded_at=NOW, source="newer than the backup")
    ledger, whole = Ledger(filled.ledger).file("IBM"), kept(filled)
    ledger.write_bytes(b"damaged")
    with pytest.raises(InvalidFile, match="move it away"):
        backup.restore(filled, tmp_path / "b.zip", "ledger/IBM.parquet")
    ledger.unlink()
    assert backup.restore(filled, tmp_path / "b.zip", "ledger/IBM.parquet").files == 1
    assert backup.restore(filled, tmp_path / "b.zip", "ledger/").files == 1, "as a shell completes it"
    assert Ledger(filled.ledger).entries("IBM") == before
    assert kept(filled) == whole
    with pytest.raises(InvalidFile, match="found nothing of that name"):
        backup.restore(filled, tmp_path / "b.zip", "ledger/IBM")


@pytest.mark.parametrize("folder", ["store", "ledger"])
def test_a_stray_copy_is_archived_too_and_stops_nothing(filled: HomePaths, tmp_path: Path, folder: str) -> None:
    stray = filled.root / folder / "IBM (1).parquet"
    stray.write_bytes(b"a copy")
    assert backup.back_up(filled, tmp_path / "b.zip", NOW).damaged == ()
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert f"{folder}/{stray.name}" in archive.namelist()
    assert BarStore.of(filled).tickers() == ("IBM",)


def test_whose_prices_an_archive_holds_is_no_matter_of_its_damage(tmp_path: Path) -> None:
    """In the usual home, an archive with a password, or damaged there, ended in 'unexpected error; please report it'"""
    with zipfile.ZipFile(whole := tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("prices.json", '{"prices": "replay"}')
    assert backup.holds_replay(whole)
    content, damaged = whole.read_bytes(), tmp_path / "b.zip"
    for at, bit in itertools.product(range(len(content)), (0, 1)):
        damaged.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
        backup.holds_replay(damaged)


@pytest.mark.parametrize("size", [0, 200, 2_000])
def test_a_full_disk_is_named_and_the_archive_is_not_blamed(
    filled: HomePaths, other: HomePaths, tmp_path: Path, size: int
) -> None:
    backup.back_up(filled, tmp_path / "a.zip", NOW)
    with files_of_at_most(size):
        with pytest.raises(DiskFull, match=f"^{tmp_path}: .*make room"):
            backup.back_up(filled, tmp_path / "b.zip", NOW)
        with pytest.raises(DiskFull, match=f"^{other.root}: .*make room"):
            backup.restore(other, tmp_path / "a.zip")
    assert kept(other) == {}
    assert not (tmp_path / "b.zip").exists()
    assert not [*tmp_path.glob(f"{backup.STAGING}*"), *other.root.glob(f"{backup.STAGING}*")]


@pytest.mark.parametrize("name", ["store", "ledger", "models/IBM", "nights"])
def test_a_folder_that_may_not_be_read_is_refused_not_left_out(filled: HomePaths, tmp_path: Path, name: str) -> None:
    (closed := filled.root / name).chmod(0)
    as_others = [] if os.geteuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    command = [*as_others, sys.executable, "-m", "deployments.cli", "backup", str(tmp_path / "a.zip")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    closed.chmod(0o700)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"stockml: {closed}: expected a folder that can be read, found Permission denied; restore" in done.stderr
    assert not [*tmp_path.glob("a.zip"), *tmp_path.glob(f"{backup.STAGING}*")]


@pytest.fixture
def writing(home: HomePaths) -> Iterator[None]:
    """Nights one after another, bars first and then their forecast, until the test has ended."""
    stop, begun = threading.Event(), threading.Event()
    store, ledger = BarStore.of(home), Ledger(home.ledger)

    def write() -> None:
        for at in range(20, 180):
            recorded_at = NOW + timedelta(minutes=at)
            store.append("IBM", bars(at + 1), recorded_at=recorded_at, source="test", session=day(at))
            ledger.publish(replace(entry(at), key=f"{at}"))
            begun.set()
            if stop.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    begun.wait(30)
    yield
    stop.set()
    writer.join()


@pytest.mark.usefixtures("writing")
def test_a_backup_taken_while_nights_run_is_of_one_moment(home: HomePaths, tmp_path: Path) -> None:
    reached = set()
    for number in range(5):
        archive, place = tmp_path / f"{number}.zip", home_of({"STOCKML_HOME": str(tmp_path / f"{number}")})
        assert backup.back_up(home, archive, NOW).damaged == ()
        assert backup.restore(place, archive).damaged == ()
        forecast, bars = Ledger(place.ledger).last_session("IBM"), BarStore.of(place).read("IBM")
        assert forecast is not None
        assert forecast <= bars.index[-1].date()
        reached.add(forecast)
    assert len(reached) > 1


def test_what_is_behind_a_link_to_a_disk_that_is_away_is_not_left_out(filled: HomePaths, tmp_path: Path) -> None:
    (filled.nights / "IBM").rename(tmp_path / "aside")
    (filled.nights / "IBM").symlink_to(tmp_path / "disk")
    with pytest.raises(StoreError, match=r"nights/IBM: expected what is kept there, found a link to .*disk"):
        backup.back_up(filled, tmp_path / "b.zip", NOW)
    assert not (tmp_path / "b.zip").exists()


def test_an_empty_home_is_not_backed_up(other: HomePaths, tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="expected a home with something to archive, found nothing") as refused:
        backup.back_up(other, tmp_path / "home.zip", NOW)
    assert str(other.root) in str(refused.value)
    assert not list(tmp_path.iterdir()), "neither an archive nor a home"
