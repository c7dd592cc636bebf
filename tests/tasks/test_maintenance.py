"""The steps of the weekly maintenance: which database lies behind MLflow's page, so that its trash can be emptied."""

from pathlib import Path

import pytest

from stockml.home import home
from tasks.maintenance import mlflow_database

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
    place = home({"STOCKML_HOME": str(tmp_path), **environ})
    assert mlflow_database(place) == (database and database.format(root=tmp_path))


def test_a_database_in_the_home_is_the_one_behind_the_page(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    assert mlflow_database(home({"STOCKML_HOME": str(tmp_path), **PAGE})) == f"sqlite:///{tmp_path}/mlflow.db"
