"""Steps of the weekly maintenance: which database lies behind MLflow's page."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from stockml.home import HomePaths, current_home
from stockml.maintenance.retention import RetentionSettings
from tasks.maintenance import clear_mlflow, mlflow_database
from tests.support.own_servers import mlflow_server

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
