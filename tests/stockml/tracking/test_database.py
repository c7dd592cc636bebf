"""MLflow's database follows its home, can be rebuilt from the nights' records, and is named where it is damaged."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deployments.cli.app import run
from stockml.errors import TrackingUnavailable
from stockml.home import HomePaths
from stockml.home import current_home as home_of
from stockml.maintenance.backup import back_up, restore
from stockml.models.registry import Promotion, Registry
from stockml.nights.record import Night, night_path, read_night
from stockml.storage.files import sha256_of
from stockml.tracking.client import Tracking
from stockml.tracking.database import missing_folders
from stockml.tracking.retention import empty_trash
from stockml.tracking.study_runs import log_trial
from stockml.training.tuned_settings import TrialRecord
from tests.stockml.tracking.logged import client, runs, versions
from tests.support.nights import recorded_night, with_files

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def night(home: HomePaths, empty_database: Path) -> Night:
    """A night whose files lie in the home, kept and logged."""
    home.root.mkdir()
    shutil.copy(empty_database, home.root / "mlflow.db")
    made = with_files(recorded_night(), home.root / "made")
    places = {
        "dataset_path": home.datasets / "IBM" / "2013-02-28.parquet",
        "evaluation_folder": home.evaluations / "IBM" / "one",
        "model_folder": home.models / "IBM" / "one",
    }
    for name, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(getattr(made, name), place)
    return Tracking(home).keep_and_log(replace(made, **{name: str(place) for name, place in places.items()}))


def served(home: HomePaths, ticker: str = "IBM") -> list[Path]:
    """Where MLflow finds the files of the ticker's runs and models."""
    tracking = Tracking(home)
    addresses = [
        *(run.info.artifact_uri for run in runs(tracking, ticker)),
        *(version.source for version in versions(tracking, ticker)),
    ]
    return [Path(address.removeprefix("file://")) for address in addresses]


def test_a_moved_home_finds_its_artifacts_and_logs_beside_them(home: HomePaths, night: Night, tmp_path: Path) -> None:
    moved = home_of({"STOCKML_HOME": str(tmp_path / "another place" / "home")})
    moved.root.parent.mkdir()
    shutil.move(home.root, moved.root)
    record = read_night(night_path(moved.nights, night.ticker, night.key))
    assert record.model_folder == str(moved.models / "IBM" / "one")
    tracking = Tracking(moved)
    tracking.keep_and_log(replace(record, key="a" * 64, mlflow_run_id=None))
    assert not home.root.exists()
    assert len(served(moved)) == 4
    for folder in served(moved):
        assert Path(str(folder).replace("%20", " ")).is_relative_to(moved.root)
    kept = client(tracking).download_artifacts(night.mlflow_run_id, "night.json", str(tmp_path))
    assert night.key in Path(kept).read_text()


def test_all_experiments_of_a_moved_home_keep_their_files_in_it(home: HomePaths, night: Night, tmp_path: Path) -> None:
    """That is, those of a renamed share, of a share without files yet, of all tickers together, and a person's own."""
    before = Tracking(home)
    before.rename("IBM", "BIM")
    trial = TrialRecord("AAPL", "s", 0, 1, "complete", {}, (0.1,), 0.1, 0.1, NOW, 1.0, 0.1)
    log_trial(before, trial)
    mine = {"mine": f"{home.artifacts}/7", "elsewhere": f"{tmp_path.as_uri()}/elsewhere"}
    for name, location in mine.items():
        client(before).create_experiment(name, location)
    shutil.rmtree(home.root / "artifacts" / "AAPL", ignore_errors=True)
    moved = home_of({"STOCKML_HOME": str(tmp_path / "moved")})
    shutil.move(home.root, moved.root)
    tracking = Tracking(moved)
    tracking.prepare()
    found = {each.name: each.artifact_location for each in client(tracking).search_experiments()}
    del found["Default"]  # the copied database's, of another home
    assert found.pop("elsewhere") == mine["elsewhere"]
    places = {"stockml": "all-tickers", "stockml/BIM": "IBM", "stockml/AAPL/trials": "AAPL/trials", "mine": "7"}
    assert found == {name: f"{moved.artifacts}/{place}" for name, place in places.items()}
    assert [folder.is_relative_to(moved.root) for folder in served(moved, "BIM")] == [True, True]
    assert missing_folders(moved.tracking_uri, moved.artifacts) == []


def test_artifacts_kept_elsewhere_on_purpose_stay_there_and_a_copied_homes_are_its_own(
    home: HomePaths, night: Night, tmp_path: Path
) -> None:
    before = served(home)
    Tracking(replace(home, artifacts=(tmp_path / "empty").as_uri())).prepare()
    assert served(home) == before
    copied = shutil.copytree(home.root / "artifacts", tmp_path / "copy")  # with the home, which is still there
    Tracking(replace(home, artifacts=copied.as_uri())).prepare()
    assert all(folder.is_relative_to(copied) for folder in served(home))
    within = replace(home, artifacts=f"{copied.as_uri()}/within")
    location = f"{within.artifacts}/7"  # a person's own, in the present place, which lies in the earlier one
    client(Tracking(within)).create_experiment("mine", location)
    Tracking(within).prepare()
    assert client(Tracking(within)).get_experiment_by_name("mine").artifact_location == location


def test_a_lost_database_is_rebuilt_from_the_records_with_the_models_that_remain(
    home: HomePaths,
    night: Night,
    empty_database: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STOCKML_MLFLOW_PAGE", "http://pages.example")
    shutil.copy(empty_database, home.root / "mlflow.db")
    shutil.rmtree(home.root / "artifacts")
    assert run(["rebuild-tracking"]) == 0
    assert "1 run from the records of the nights, 1 of them with their model" in capsys.readouterr().out
    [rebuilt] = runs(Tracking(home))
    assert (rebuilt.info.status, rebuilt.data.tags["stockml.key"]) == ("FINISHED", night.key)
    kept = read_night(night_path(home.nights, night.ticker, night.key))
    assert kept.mlflow_run_id == rebuilt.info.run_id
    assert f"http://pages.example/#/experiments/1/runs/{rebuilt.info.run_id}" in str(kept.mlflow_run_url)
    shutil.rmtree(home.models)
    shutil.copy(empty_database, home.root / "mlflow.db")
    assert [each.model_version for each in Tracking(home).rebuild()] == [None]
    assert len(runs(Tracking(home))) == 1


@pytest.mark.parametrize("deleted", ["registered model", "version", "version and its files", "files", "logged model"])
def test_a_model_that_a_person_deleted_is_registered_again_by_a_rebuild(
    deleted: str, home: HomePaths, night: Night
) -> None:
    model, tracking = str(night.model_folder), Tracking(home)
    line = Promotion("IBM", "promote", night.key, model, sha256_of(model) or "", None, night.session, "", NOW)
    Registry(home.models).promote(line)
    [before] = versions(tracking)
    if deleted == "registered model":
        client(tracking).delete_registered_model("lstm-IBM")
    elif deleted.startswith("version"):
        client(tracking).delete_model_version("lstm-IBM", before.version)
    elif deleted == "files":
        shutil.rmtree(home.root / "artifacts")
    if deleted in ("version and its files", "logged model"):
        [logged] = client(tracking).search_logged_models([runs(tracking)[0].info.experiment_id])
        client(tracking).delete_logged_model(logged.model_id)
        empty_trash(tracking.home.tracking_uri, tracking.home.tracking_uri, 0)
        assert not Path(urlsplit(before.source).path).exists()
    assert run(["rebuild-tracking"]) == 0
    [again] = versions(tracking)
    assert (again.tags["stockml.key"], again.run_id) == (night.key, before.run_id)
    assert (Path(urlsplit(again.source).path) / "MLmodel").is_file()
    assert client(tracking).get_model_version_by_alias("lstm-IBM", "champion").version == again.version


def test_a_champion_that_a_person_deleted_in_mlflow_comes_back_with_the_next_look(
    home: HomePaths, night: Night
) -> None:
    tracking = Tracking(home)
    [run_before] = runs(tracking)
    client(tracking).delete_registered_model("lstm-IBM")
    assert tracking.follow_champion("IBM", night.key) == "1"
    [again] = versions(tracking)
    assert [again.run_id] == [each.info.run_id for each in runs(tracking)] == [run_before.info.run_id]
    assert client(tracking).get_model_version_by_alias("lstm-IBM", "champion").version == again.version


def test_a_restored_home_registers_its_champion_again(
    home: HomePaths, night: Night, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(night.model_folder)
    line = Promotion("IBM", "promote", night.key, model, sha256_of(model) or "", None, night.session, "", NOW)
    Registry(home.models).promote(line)
    back_up(home, tmp_path / "b.zip", NOW)
    restored = home_of({"STOCKML_HOME": str(tmp_path / "restored")})
    restore(restored, tmp_path / "b.zip")
    shutil.copy(empty_database, restored.root / "mlflow.db")
    shutil.rmtree(home.root)
    monkeypatch.setenv("STOCKML_HOME", str(restored.root))
    assert run(["rebuild-tracking"]) == 0
    [version] = versions(Tracking(restored))
    assert client(Tracking(restored)).get_model_version_by_alias("lstm-IBM", "champion").version == version.version
    assert version.tags["stockml.key"] == night.key


def test_a_rebuild_leaves_out_a_damaged_record_and_names_it(
    home: HomePaths, night: Night, capsys: pytest.CaptureFixture[str]
) -> None:
    record = night_path(home.nights, night.ticker, "d" * 64)
    record.parent.mkdir()
    kept = night_path(home.nights, night.ticker, night.key).read_bytes()
    record.write_bytes(kept.replace(b"fine-tune", b"fine-tuna", 1))
    assert run(["rebuild-tracking"]) == 1
    told = capsys.readouterr()
    assert "1 run from the records" in told.out
    assert f"{record}: expected a night's record, found damage" in told.err


@pytest.mark.parametrize("content", [b"", b"no database at all", None])
def test_a_damaged_database_is_named_and_left_as_it_is(home: HomePaths, night: Night, content: bytes | None) -> None:
    path = home.root / "mlflow.db"
    damaged = path.read_bytes()[:4000] + b"\xff" * 5000 if content is None else content
    path.write_bytes(damaged)
    with pytest.raises(TrackingUnavailable, match=r"mlflow\.db") as damage:
        Tracking(home).keep_and_log(night)
    assert str(damage.value).count("`stockml doctor`") == 1
    assert [waiting.key for waiting in Tracking(home).pending()] == [night.key]
    assert path.read_bytes() == damaged
