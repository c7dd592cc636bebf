"""Nothing that an archive says of itself makes a restore write what no home has, or outside of the home."""

import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from stockml.errors import InvalidFile
from stockml.home import Home
from stockml.maintenance.backup import FORMAT, restore


@pytest.mark.parametrize(
    ("name", "said", "why"),
    [
        ("../ledger/IBM.parquet", {}, "a file '../ledger/IBM.parquet' that no home has"),
        ("ledger/../../IBM.parquet", {}, "that no home has"),
        ("{elsewhere}/ledger/IBM.parquet", {}, "that no home has"),
        ("mlflow.db", {}, "that no home has"),
        ("ledger/IBM.parquet", {"format": "stockml backup, 2"}, "the format 'stockml backup, 2', this program reads"),
        ("ledger/IBM.parquet", {"files": {}}, "other files than its manifest names"),
    ],
)
def test_an_archive_that_is_not_as_a_backup_makes_it_is_refused(
    name: str, said: dict[str, object], why: str, home: Home, tmp_path: Path
) -> None:
    name = name.format(elsewhere=tmp_path / "elsewhere")
    about = {"format": FORMAT, "files": {name: hashlib.sha256(b"forged").hexdigest()}, "damaged": []}
    with zipfile.ZipFile(file := tmp_path / "b.zip", "w") as made:
        made.writestr("manifest.json", json.dumps(about | said))
        made.writestr(name, b"forged")
    with pytest.raises(InvalidFile, match=why):
        restore(home, file)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def test_a_missing_archive_and_a_file_that_is_no_archive_are_refused(home: Home, tmp_path: Path) -> None:
    (file := tmp_path / "b.zip").write_bytes(b"no archive")
    for name, why in (("a.zip", "found no file"), ("b.zip", "expected a whole backup")):
        with pytest.raises(InvalidFile, match=why):
            restore(home, tmp_path / name)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
