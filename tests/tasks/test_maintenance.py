"""Steps of the weekly maintenance: whose trash in MLflow is emptied."""

import json
from dataclasses import replace

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from stockml.tracking.runs import empty_trash
from tests.support.own_servers import mlflow_server


@pytest.mark.campaign
@pytest.mark.slow
def test_the_trash_behind_this_homes_page_is_emptied_and_of_another_server_people_are_told(
    installation,
):
    """As under `stockml up`, where MLFLOW_TRACKING_URI is the page, which cannot empty it
    itself."""
    with mlflow_server(installation) as page:
        client, here = MlflowClient(page), replace(installation, tracking_uri=page)
        client.delete_run(client.create_run("0").info.run_id)
        assert empty_trash(here, 0).endswith("where its server runs")
        installation.servers.write_text(json.dumps({"mlflow": page}))
        assert empty_trash(here, 0) == ""
        assert client.search_runs(["0"], run_view_type=ViewType.ALL) == []
