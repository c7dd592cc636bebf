"""Steps of the weekly maintenance: which objects leave a shared state, and which database lies behind MLflow's page."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from stockml.home import HomePaths, current_home
from stockml.maintenance.retention import RetentionSettings
from stockml.storage.sharing import commit_all, refresh
from tasks.maintenance import clear_mlflow, clear_shared_state, mlflow_database
from tests.support.own_servers import mlflow_server
from tests.support.postgres_server import needs_postgres

PAGE = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:5000"}
SERVER = "postgresql://me:hidden@db:5432"


@pytest.mark.parametrize(
    ("environ", "database"),
    [
        ({}, "sqlite:///{root}/mlflow.db"),
        ({"MLFLOW_TRACKING_URI": "postgresql://elsewhere/mlflow"}, "postgresql://elsewhere/mlflow"),
        (PAGE, None),
        ({**PAGE, "STOCKML_DATABASE_URL": SERVER}, "postgresql+psycopg://me:hidden@db:5432/mlflow"),
    ],
)
def test_mlflows_database_is_known_where_its_page_is_this_installations(
    tmp_path: Path, environ: dict[str, str], database: str | None
) -> None:
    place = current_home({"STOCKML_HOME": str(tmp_path), **environ})
    assert mlflow_database(place) == (database and database.format(root=tmp_path))


def test_a_database_in_the_home_is_the_one_behind_the_page(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    assert mlflow_database(current_home({"STOCKML_HOME": str(tmp_path), **PAGE})) == f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.slow
def test_the_trash_behind_a_running_page_is_emptied_with_its_files_but_not_that_of_another_database(
    with_tables: HomePaths, installation: HomePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under `stockml up`, where MLFLOW_TRACKING_URI is the page, which cannot empty it itself; then as where it is
    another server's: people are told to empty its trash there."""
    (picture := tmp_path / "forecast.png").touch()
    with mlflow_server(installation) as page:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", page)
        client = MlflowClient(page)
        experiment = client.create_experiment("stockml/IBM")
        kept, old = (client.create_run(experiment).info.run_id for _ in range(2))
        client.log_artifact(old, str(picture))
        client.delete_run(old)
        with monkeypatch.context() as behind:
            behind.setenv("STOCKML_HOME", str(installation.root))
            assert clear_mlflow.fn(RetentionSettings(), datetime.now(UTC), 0, dry_run=False).things == ()
        left = client.search_runs([experiment], run_view_type=ViewType.ALL)
        assert [run.info.run_id for run in left] == [kept]
        assert list(installation.root.rglob(picture.name)) == []
        assert mlflow_database(current_home()) == with_tables.tracking_uri
        client.delete_run(kept)
        done = clear_mlflow.fn(RetentionSettings(), datetime.now(UTC), 0, dry_run=False)
    assert done.things == ("its database is elsewhere: run `mlflow gc` there to free the space",)


@needs_postgres
@pytest.mark.parametrize("kind", ["s3", "a folder"])
def test_what_no_manifest_names_any_more_leaves_a_shared_state_two_days_after_it_was_written(
    kind: str, two_homes: tuple[HomePaths, HomePaths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, away = two_homes
    if kind == "a folder":
        here, away = (replace(each, state=f"file://{tmp_path}/state") for each in two_homes)
    monkeypatch.setenv("STOCKML_STATE", str(here.state))
    monkeypatch.setenv("STOCKML_DATABASE_URL", f"postgresql://{here.database}")
    ledger, payload = here.ledger / "IBM.parquet", here.payloads / "IBM" / "x.json.gz"
    for file, content in ((ledger, "yesterday's"), (ledger, "today's"), (payload, "an answer")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        commit_all(here)
    payload.unlink()
    now = datetime.now(UTC)
    in_days = now + timedelta(days=2, minutes=1)
    assert clear_shared_state.fn(in_days, dry_run=True).size == len("yesterday's"), "the clean-up itself is to come"
    assert clear_shared_state.fn(now, dry_run=False).count == 0, "as a commit in progress may be about to name them"
    assert clear_shared_state.fn(in_days, dry_run=False).size == len("yesterday's") + len("an answer")
    assert clear_shared_state.fn(in_days, dry_run=True).count == 0
    refresh(away)
    assert (away.ledger / ledger.name).read_text() == "today's"
    assert not list(away.payloads.rglob("*.gz"))
