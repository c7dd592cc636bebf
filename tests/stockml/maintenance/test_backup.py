"""A backup brings everything back byte for byte, or says why not; it can be taken while runs go
on."""

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deployments.cli.app import run
from stockml.errors import DiskFull, InvalidFile
from stockml.forecasts.ledger import Ledger
from stockml.home import current_home as home_of
from stockml.maintenance.backup import FORMAT, back_up, holds_replay, restore
from stockml.models.registry import Registry
from stockml.prices.store import BarStore
from stockml.storage.files import write_atomically
from tests.faults.flipped_bits import kinds
from tests.support.forecasts import bars, day, entry
from tests.support.small_disk import files_of_at_most

NOW = datetime(2026, 11, 24, tzinfo=UTC)
KEPT = "ledger/IBM.parquet"
LEFT_OUT = {"payloads", "datasets", "plots", "pooled", "locks", "prefect", "mlflow.db"}


@pytest.fixture
def filled(home):
    """A home with something of every kind, and with what a backup leaves out."""
    kinds(home.root)
    for name in (
        "artifacts/1/ab/plot.png",
        "pretrained/superseded/ab/network-2001-06.npz",
        "plots/IBM/a.png",
        "datasets/a",
    ):
        write_atomically(home.root / name, b"x")
    (home.root / "prices.json").write_text('{"prices": "market"}')
    write_atomically(home.tickers, b"tickers: [IBM]\n")
    home.prefect.mkdir()
    for path in (home.root / "mlflow.db", home.prefect / "prefect.db"):
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE runs AS SELECT 'kept' AS name")
            database.commit()
    return home


@pytest.fixture
def other(tmp_path):
    return home_of({"STOCKML_HOME": str(tmp_path / "other")})


def content(home):
    files = (path for path in home.root.rglob("[!.]*") if path.is_file())
    names = {path.relative_to(home.root).as_posix(): path.read_bytes() for path in files}
    return {name: held for name, held in names.items() if name.partition("/")[0] not in LEFT_OUT}


def test_what_was_archived_comes_back_byte_for_byte(filled, other, tmp_path):
    with closing(sqlite3.connect(filled.root / "mlflow.db")) as writer:
        writer.execute("INSERT INTO runs VALUES ('under way')")  # and no commit
        made = back_up(filled, tmp_path / "b.zip", NOW)
    assert (tmp_path / "b.zip").stat().st_mode & 0o077 == 0
    assert restore(other, tmp_path / "b.zip") == made
    in_office = {Path(each.path).name for each in Registry(filled.models).champion_history("IBM")}
    expected = {
        name: held
        for name, held in content(filled).items()
        if not name.startswith("models/IBM/0") or Path(name).parent.name in in_office
    }
    assert content(other) == expected
    tops = {name.partition("/")[0] for name in expected}
    assert {each.name for each in other.root.iterdir()} == tops | {"mlflow.db", "prefect", "locks"}
    for path in (other.root / "mlflow.db", other.prefect / "prefect.db"):
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT name FROM runs").fetchall() == [("kept",)]


def test_a_restore_refuses_a_home_that_is_not_empty(filled, other, tmp_path):
    back_up(filled, tmp_path / "b.zip", NOW)
    write_atomically(other.root / "store" / "KO.parquet", b"bars")
    with pytest.raises(InvalidFile, match=r"expected an empty home, found .*KO\.parquet"):
        restore(other, tmp_path / "b.zip")
    assert list(content(other)) == ["store/KO.parquet"]


def test_a_restore_that_was_cut_short_is_refused_to_others_and_finished_by_the_same_command(
    filled,
    other,
    tmp_path,
    monkeypatch,
    capsys,
):
    back_up(filled, tmp_path / "b.zip", NOW)
    real = os.replace

    def dies(source, target):
        if Path(target).name == "IBM.parquet":
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as dying:
        dying.setattr(os, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            restore(other, tmp_path / "b.zip")
    monkeypatch.setenv("STOCKML_HOME", str(other.root))
    assert run(["status"]) == 1
    assert f"finish it: `stockml restore {tmp_path / 'b.zip'}`" in capsys.readouterr().err
    assert run(["restore", str(tmp_path / "b.zip")]) == 0
    assert run(["tickers", "list"]) == 0


@pytest.mark.parametrize("size", [0, 2_000])
def test_a_full_disk_is_named_and_leaves_no_archive(filled, tmp_path, size):
    with files_of_at_most(size), pytest.raises((DiskFull, OSError)):
        back_up(filled, tmp_path / "b.zip", NOW)
    assert {path.name for path in tmp_path.iterdir()} <= {"home", "home.zip"}


@pytest.mark.parametrize("name", ["store", "models/IBM"])
def test_a_folder_that_may_not_be_read_is_refused_not_left_out(filled, tmp_path, name):
    (closed := filled.root / name).chmod(0)
    as_others = [] if os.geteuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    command = [*as_others, sys.executable, "-m", "deployments.cli", "backup", f"{tmp_path}/a.zip"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    closed.chmod(0o700)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"stockml: {closed}: expected what may be read" in done.stderr
    assert not (tmp_path / "a.zip").exists()


def test_a_backup_needs_a_new_name_and_a_home(home, tmp_path):
    new = tmp_path / "b.zip"
    for file, why in (
        (tmp_path, "expected a new name, in a folder that is there"),
        (tmp_path / "absent" / "b.zip", "expected a new name, in a folder that is there"),
        (new, "expected a home, found nothing"),
    ):
        with pytest.raises(InvalidFile, match=why):
            back_up(home, file, NOW)
    assert not new.exists()


def test_a_backup_taken_while_nights_run_has_the_bars_of_its_forecasts(home, tmp_path):
    def night(at):
        """Bars first, and then their forecast."""
        told = {"recorded_at": NOW + timedelta(minutes=at), "source": "test", "session": day(at)}
        BarStore.of(home).append("IBM", bars(at + 1), **told)
        Ledger(home.ledger).publish(replace(entry(at), key=f"{at}"))

    night(20)
    with ThreadPoolExecutor(1) as nights:
        nights.map(night, range(21, 180))
        for number in range(5):
            archive = tmp_path / f"{number}.zip"
            place = home_of({"STOCKML_HOME": str(tmp_path / f"{number}")})
            back_up(home, archive, NOW)
            restore(place, archive)
            stored = BarStore.of(place).read("IBM").index[-1].date()
            assert Ledger(place.ledger).last_session("IBM") <= stored
        nights.shutdown(cancel_futures=True)


@pytest.mark.parametrize(
    ("name", "said", "why"),
    [
        ("../ledger/IBM.parquet", {}, "a file '../ledger/IBM.parquet' that no home has"),
        ("{elsewhere}/ledger/IBM.parquet", {}, "that no home has"),
        (KEPT, {"format": "stockml backup, 2"}, "not the files of 'stockml backup, 1'"),
        (KEPT, {"files": {KEPT: "0f"}}, f"other content in {KEPT}"),
    ],
)
def test_an_archive_that_is_not_as_a_backup_makes_it_is_refused(name, said, why, home, tmp_path):
    name = name.format(elsewhere=tmp_path / "elsewhere")
    about = {"format": FORMAT, "files": {name: hashlib.sha256(b"forged").hexdigest()}}
    with zipfile.ZipFile(file := tmp_path / "b.zip", "w") as made:
        made.writestr("manifest.json", json.dumps(about | said))
        made.writestr(name, b"forged")
    with pytest.raises(InvalidFile, match=why):
        restore(home, file)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def test_a_missing_archive_and_a_file_that_is_no_archive_are_refused(home, tmp_path):
    (tmp_path / "b.zip").write_bytes(b"no archive")
    for name in ("a.zip", "b.zip"):
        for read in (lambda file: restore(home, file), holds_replay):
            with pytest.raises(InvalidFile, match="expected a whole backup"):
                read(tmp_path / name)
    assert not home.root.exists()
