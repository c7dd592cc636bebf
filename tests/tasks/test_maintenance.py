"""Steps of the weekly maintenance: whose trash in MLflow is emptied."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from stockml.home import HomePaths
from stockml.tracking.runs import empty_trash
from tests.support.own_servers import mlflow_server


@pytest.mark.campaign
@pytest.mark.slow
def test_the_trash_behind_this_homes_page_is_emptied_and_of_another_server_people_are_told(
    installation: HomePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under `stockml up`, where MLFLOW_TRACKING_URI is the page, which cannot empty it
    itself."""
    (picture := tmp_path / "forecast.png").touch()
    with mlflow_server(installation) as page:
        client = MlflowClient(page)
        experiment = client.create_experiment("stockml/IBM", f"{installation.artifacts}/IBM")
        kept, old = (client.create_run(experiment).info.run_id for _ in range(2))
        client.log_artifact(old, str(picture))
        client.delete_run(old)
        here = replace(installation, tracking_uri=page)
        assert empty_trash(here, 0).endswith("where its server runs")
        installation.servers.write_text(json.dumps({"mlflow": page}))
        assert empty_trash(here, 0) == ""
        left = client.search_runs([experiment], run_view_type=ViewType.ALL)
    assert [run.info.run_id for run in left] == [kept]
    assert list(installation.root.rglob(picture.name)) == []
