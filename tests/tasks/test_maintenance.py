"""Steps of the weekly maintenance: which objects leave a shared state, and whose trash in MLflow is emptied."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from stockml.home import HomePaths
from stockml.storage.sharing import commit_all, refresh
from stockml.tracking.retention import empty_trash
from tasks.maintenance import clear_shared_state
from tests.support.own_servers import mlflow_server
from tests.support.postgres_server import needs_postgres


@pytest.mark.slow
def test_the_trash_behind_this_homes_page_is_emptied_and_of_another_server_people_are_told(
    installation: HomePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under `stockml up`, where MLFLOW_TRACKING_URI is the page, which cannot empty it itself."""
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
