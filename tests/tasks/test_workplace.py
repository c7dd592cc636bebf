"""Two processes share a workplace when home, folder, addresses and code are the same; no message shows a password."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from stockml.errors import WorkerMismatch
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from tasks import workplace
from tasks.workplace import check, check_scheduled, identified_worker, own_code, worker_variables

WORKER = "tcp://10.0.0.6:40001"


@pytest.fixture(autouse=True)
def _a_new_process() -> Iterator[None]:
    own_code.cache_clear()
    yield
    own_code.cache_clear()


def named(home: HomePaths, **changes: str) -> str:
    """What a worker whose home has these changes is told by a run of `home`; "" if it fits."""
    with identified_worker(home) as here:
        try:
            check(here, replace(home, **changes), WORKER)
        except WorkerMismatch as refused:
            return str(refused)
    return ""


def test_the_same_home_fits_and_leaves_no_file(home: HomePaths) -> None:
    assert named(home) == ""
    assert list(home.locks.iterdir()) == []


def test_another_home_is_named_once_though_its_addresses_differ_too(home: HomePaths, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with identified_worker(home) as here, pytest.raises(WorkerMismatch) as refused:
        check(here, home_of({"STOCKML_HOME": str(other)}), WORKER)
    assert refused.value.worker == WORKER
    assert refused.value.differences == (("STOCKML_HOME", str(home.root), str(other)),)
    assert not other.exists()


def test_the_same_path_on_another_disk_is_another_home(home: HomePaths, tmp_path: Path) -> None:
    with identified_worker(home) as here:
        shutil.move(home.root, tmp_path / "away")
        home.locks.mkdir(parents=True)
        with pytest.raises(WorkerMismatch, match=f"folder that it names: .*another of the same path, {home.root}"):
            check(here, home, WORKER)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"store": "s3://key:p@secret@bucket/store"},
            "the store: expected STOCKML_HOME/store, found s3://bucket/store",
        ),
        ({"state": "s3://key:secret@bucket/state"}, "STOCKML_STATE: expected none, found s3://bucket/state"),
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
def test_another_address_is_named_without_its_password(home: HomePaths, changes: dict[str, str], said: str) -> None:
    found = named(home, **changes)
    assert said in found
    assert "secret" not in found


def test_other_code_is_named_by_both_hashes_and_libraries(home: HomePaths) -> None:
    numpy = f"numpy=={version('numpy')}"
    with identified_worker(home) as here, pytest.raises(WorkerMismatch) as refused:
        check(replace(here, code=here.code.replace(numpy, "numpy==3.1.4")), home, WORKER)
    both = rf"the code: expected \w{{12}} with .*numpy==3.1.4 .*, found \w{{12}} with .*{numpy} "
    assert re.search(both, str(refused.value))


def test_a_worker_that_ran_nights_before_the_code_was_changed_on_its_disk_is_refused(
    home: HomePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "train.py"
    source.write_text("EPOCHS = 3\n")
    monkeypatch.setattr(workplace, "NIGHT_PACKAGES", [tmp_path])
    assert named(home) == ""
    source.write_text("EPOCHS = 4\n")
    with identified_worker(home) as here, pytest.raises(WorkerMismatch, match="the code: expected"):
        check(replace(here, code=own_code.__wrapped__()), home, WORKER)


SHARED = {"STOCKML_STATE": "s3://bucket/state/", "STOCKML_DATABASE_URL": "postgresql://me:secret@db:5432"}


def test_with_shared_state_each_machine_has_its_own_home(tmp_path: Path) -> None:
    """The state's address tells workplaces apart, and a message shows it without its password."""
    one, two = (home_of({"STOCKML_HOME": str(tmp_path / name), **SHARED}) for name in ("one", "two"))
    same_tracking = {"tracking_uri": "http://mlflow:5000"}
    with identified_worker(replace(one, **same_tracking)) as here:
        check(here, replace(two, **same_tracking), WORKER)
        with pytest.raises(WorkerMismatch) as refused:
            check(here, replace(two, state="s3://key:secret@other/state", **same_tracking), WORKER)
    assert refused.value.differences == (("STOCKML_STATE", "s3://bucket/state", "s3://other/state"),)


def test_a_worker_takes_the_state_from_its_runs_and_is_refused_if_it_has_another(tmp_path: Path) -> None:
    given = {"STOCKML_ARTIFACTS": "s3://bucket/mlflow", "ALPHAVANTAGE_PLAN": "75/min"}
    given |= {"AWS_ENDPOINT_URL": "http://minio:9000", "ALPHAVANTAGE_URL": "http://feed:8080"}
    environ = {**SHARED, **given, "ALPHAVANTAGE_API_KEY": "SECRET"}
    place = home_of({"STOCKML_HOME": str(tmp_path), **SHARED})
    scheduled = worker_variables(place, environ)
    assert scheduled == {**given, "STOCKML_STATE": "s3://bucket/state", "STOCKML_CODE": own_code()}
    assert worker_variables(replace(place, state=f"{place.state}/replay"), environ) == scheduled
    check_scheduled(scheduled, {}, "second")
    check_scheduled(scheduled, SHARED, "second")
    for scheduling, own, said in (
        (scheduled, {"STOCKML_STATE": "s3://other"}, "STOCKML_STATE: expected s3://bucket/state, found s3://other"),
        ({**scheduled, "STOCKML_CODE": "0" * 64}, {}, f"the code: expected {'0' * 64}, found {own_code()}"),
    ):
        with pytest.raises(WorkerMismatch, match=f"worker second is unlike this run: {said}"):
            check_scheduled(scheduling, own, "second")
    assert worker_variables(home_of({"STOCKML_HOME": str(tmp_path)}), environ) == {}


@pytest.mark.parametrize("folder", ["home", "replay"])
def test_a_state_that_is_called_replay_reaches_workers_under_its_whole_name(tmp_path: Path, folder: str) -> None:
    environ = {"STOCKML_HOME": str(tmp_path / folder), **SHARED, "STOCKML_STATE": "s3://bucket/replay"}
    scheduled = worker_variables(home_of(environ), environ)
    assert scheduled["STOCKML_STATE"] == environ["STOCKML_STATE"]
    check_scheduled(scheduled, environ, WORKER)
