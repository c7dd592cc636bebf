"""Two processes share a workplace when home, folder, addresses and code are the same; no message gives a password."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from stockml.errors import UnlikeWorker
from stockml.home import Home
from stockml.home import home as home_of
from tasks.workplace import check, marked

WORKER = "tcp://10.0.0.6:40001"


def named(home: Home, **changes: str) -> str:
    """What a worker with these changes is told by a run of `home`; "" when it fits."""
    with marked(home) as here:
        try:
            check(here, replace(home, **changes), WORKER)
        except UnlikeWorker as refused:
            return str(refused)
    return ""


def test_the_same_home_fits_and_leaves_no_file(home: Home) -> None:
    assert named(home) == ""
    assert list(home.locks.iterdir()) == []


def test_another_home_is_named_once_though_its_addresses_differ_too(home: Home, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with marked(home) as here, pytest.raises(UnlikeWorker) as refused:
        check(here, home_of({"STOCKML_HOME": str(other)}), WORKER)
    assert refused.value.worker == WORKER
    assert refused.value.differences == (("STOCKML_HOME", str(home.root), str(other)),)
    assert not other.exists()


def test_the_same_path_on_another_disk_is_another_home(home: Home, tmp_path: Path) -> None:
    with marked(home) as here:
        shutil.move(home.root, tmp_path / "away")
        home.locks.mkdir(parents=True)
        with pytest.raises(UnlikeWorker, match=f"folder that it names: .*another of the same path, {home.root}"):
            check(here, home, WORKER)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"store": "s3://key:secret@bucket/store"}, "the store: expected STOCKML_HOME/store, found s3://bucket/store"),
        (
            {"store": "simplecache::s3://key:secret@bucket/store"},
            "the store: expected STOCKML_HOME/store, found simplecache::s3://bucket/store",
        ),
        (
            {"tracking_uri": "postgresql://me:secret@db/mlflow?password=secret"},
            "MLflow: expected sqlite:///STOCKML_HOME/mlflow.db, found postgresql://db/mlflow",
        ),
    ],
)
def test_another_address_is_named_without_its_password(home: Home, changes: dict[str, str], said: str) -> None:
    found = named(home, **changes)
    assert said in found
    assert "secret" not in found


def test_other_code_is_named_by_both_hashes(home: Home) -> None:
    with (
        marked(home) as here,
        pytest.raises(UnlikeWorker, match=f"the code: expected {'0' * 12}, found {here.code[:12]}"),
    ):
        check(replace(here, code="0" * 64), home, WORKER)
