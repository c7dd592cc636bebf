"""Which requests of MLflow's pages ask for plots."""

import pytest

from deployments.servers.mlflow_program import asked_for

LIST, GET = "/ajax-api/2.0/mlflow/artifacts/list", "/get-artifact"


@pytest.mark.parametrize(
    ("path", "query", "run"),
    [
        (LIST, b"run_uuid=0f&path=plots", "0f"),
        (LIST, b"run_id=0f&path=plots", "0f"),
        (GET, b"path=plots%2Fhistory.png&run_uuid=0f", "0f"),
        (GET, b"path=plots%2Fleads.png&run_uuid=0f", "0f"),
        (GET, b"path=plots%2Fforecast.png&run_uuid=0f", None),  # drawn by its night
        (LIST, b"run_uuid=0f", None),
        (LIST, b"run_uuid=0f&path=model", None),
        (GET, b"path=night.json&run_uuid=0f", None),
        (LIST, b"path=plots", None),
        ("/ajax-api/2.0/mlflow/runs/get", b"run_id=0f&path=plots", None),
    ],
)
def test_plots_are_asked_for_by_their_folder(path: str, query: bytes, run: str | None) -> None:
    assert asked_for({"path": path, "query_string": query}) == run
