"""Nothing that an archive says of itself makes a restore write what no home has, or outside of the home."""

import hashlib
import json
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from stockml.errors import DiskFull, InvalidFile
from stockml.home import HomePaths
from stockml.maintenance.backup import FORMAT, restore


@pytest.mark.parametrize(
    ("name", "said", "why"),
    [
        ("../ledger/IBM.parquet", {}, "a file '../ledger/IBM.parquet' that no home has"),
        ("ledger/../../IBM.parquet", {}, "that no home has"),
        ("{elsewhere}/ledger/IBM.parquet", {}, "that no home has"),
        ("mlflow.db", {}, "that no home has"),
        ("ledger", {}, "a file 'ledger' that no home has"),
        ("ledger/IBM.parquet", {"format": "stockml backup, 2"}, "the format 'stockml backup, 2', this program reads"),
        ("ledger/IBM.parquet", {"files": {}}, "other files than its manifest names"),
        ("ledger/IBM.parquet", {"files": {"ledger/IBM.parquet": "0f"}}, "other content in ledger/IBM.parquet"),
    ],
)
def test_an_archive_that_is_not_as_a_backup_makes_it_is_refused(
    name: str, said: dict[str, object], why: str, home: HomePaths, tmp_path: Path
) -> None:
    name = name.format(elsewhere=tmp_path / "elsewhere")
    about = {"format": FORMAT, "files": {name: hashlib.sha256(b"forged").hexdigest()}, "damaged": []}
    with zipfile.ZipFile(file := tmp_path / "b.zip", "w") as made:
        made.writestr("manifest.json", json.dumps(about | said))
        made.writestr(name, b"forged")
    with pytest.raises(InvalidFile, match=why):
        restore(home, file)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def forged(file: Path, content: bytes, said: int) -> Path:
    """An archive of one file, whose directory says that it has `said` bytes."""
    name = "ledger/IBM.parquet"
    about = {"format": FORMAT, "files": {name: hashlib.sha256(content).hexdigest()}, "damaged": []}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("manifest.json", json.dumps(about))
        made.writestr(name, content)
        made.getinfo(name).file_size = said
    return file


def test_an_archive_for_which_the_disk_has_no_room_is_refused_before_a_byte_is_written(
    home: HomePaths, tmp_path: Path
) -> None:
    file = forged(tmp_path / "b.zip", b"forged", 1 << 50)
    with pytest.raises(DiskFull, match=r"b\.zip unpacks to 1,125,899,906,842,\d+ bytes, [\d,]+ are free"):
        restore(home, file)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


@pytest.mark.parametrize("said", [1_000, 100 << 20])
def test_an_archive_that_unpacks_to_more_than_it_says_or_than_a_home_has_is_refused_without_unpacking_it(
    said: int, home: HomePaths, tmp_path: Path
) -> None:
    file = forged(tmp_path / "b.zip", bytes(100 << 20), said)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidFile, match="expected a whole backup"):
            restore(home, file)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def test_a_missing_archive_and_a_file_that_is_no_archive_are_refused(home: HomePaths, tmp_path: Path) -> None:
    (file := tmp_path / "b.zip").write_bytes(b"no archive")
    for name, why in (("a.zip", "found no file"), ("b.zip", "expected a whole backup")):
        with pytest.raises(InvalidFile, match=why):
            restore(home, tmp_path / name)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
