"""MLflow's server and page, as `mlflow server` runs them, behind the guard.

Its tables are created beforehand, the way a night creates them: a kill among its own migrations would spoil them.

A first visit opens on models, not on MLflow 3.17's empty view of language models, and without its assistant, notice
and dialog. No setting controls these: the page reads earlier choices from the browser, so defaults are stored there.

A run's plots are drawn when a page asks MLflow for them, before it answers. A night draws only its forecast; the other
plots cost more than the rest of the night, and most are never seen.
"""

import asyncio
import gc
import math
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from starlette.datastructures import QueryParams
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.process import imports_uncollected
from deployments.servers.access import Access, Guard
from stockml.home import current_home
from stockml.nights.record import Night, kept_night
from stockml.tracking.client import Tracking
from stockml.tracking.run_content import DRAWN_AT_ONCE
from stockml.tracking.runs import log_plots

MAX_WAIT_S = 120.0  # the longest wait for plots
PRESET = {
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.workflowType_v1": '"machine_learning"',
    "mlflow.telemetry.info.alert.dismissed_v1": "true",
    "_mlflow_model_registry_promo_modal_dismissed_v1": "true",
}
SCRIPT = "".join(f"localStorage.getItem('{key}') || localStorage.setItem('{key}', '{PRESET[key]}');" for key in PRESET)


def main(port: int, artifacts: str) -> None:
    """Serve the database in MLFLOW_BACKEND_STORE_URI and the files under `artifacts`, until SIGTERM."""
    access, database = Access.of(os.environ), os.environ["MLFLOW_BACKEND_STORE_URI"]
    with imports_uncollected():
        Tracking(replace(current_home(), tracking_uri=database)).prepare()
        from mlflow.server import app, constants

        os.environ["MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE"] = "true"  # the guard knows the names and origins
        os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = os.environ[constants.REGISTRY_STORE_URI_ENV_VAR] = database
        os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = "mlflow-artifacts:/"
        os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = artifacts
        os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true"
        import uvicorn
        from mlflow.server.fastapi_app import create_fastapi_app
        from mlflow.server.handlers import initialize_backend_stores

        initialize_backend_stores(database, database, "mlflow-artifacts:/")
        index = (Path(str(app.static_folder)) / "index.html").read_text(encoding="utf-8")
        pages = with_browser_defaults(PlotsOnDemand(create_fastapi_app(), database), index)
    uvicorn.run(Guard(pages, access, password_but_for="/health"), host=access.address, port=port, access_log=False)


def with_browser_defaults(application: ASGIApp, index: str) -> ASGIApp:
    """Wrap MLflow's application so that its page sets the choices not yet made in this browser."""
    with_choices = index.replace("<head>", f"<head><script>{SCRIPT}</script>", 1)
    page = HTMLResponse(with_choices, headers={"cache-control": "no-cache"})

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        is_page = scope["type"] == "http" and (scope["method"], scope["path"]) == ("GET", "/")
        await (page if is_page else application)(scope, receive, send)

    return answer


class PlotsOnDemand:
    """Wraps MLflow's application: draws a run's missing plots before it answers, and retries after `pause_s`."""

    pause_s = 60.0

    def __init__(self, application: ASGIApp, database: str) -> None:
        self._application, self._database = application, database
        self._one_at_a_time = asyncio.Lock()
        self._checked_at: dict[str, float] = {}  # run id to monotonic time; infinity once nothing is missing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (run_id := requested_run(scope)) and self._is_due(run_id):
            async with self._one_at_a_time:
                if self._is_due(run_id):
                    is_complete = await asyncio.to_thread(draw_missing_plots, self._database, run_id)
                    self._checked_at[run_id] = math.inf if is_complete else time.monotonic()
        await self._application(scope, receive, send)

    def _is_due(self, run_id: str) -> bool:
        return self._checked_at.get(run_id, -math.inf) + self.pause_s <= time.monotonic()


def requested_run(scope: Scope) -> str | None:
    """The run whose plots a request lists or opens; None if its night has drawn them or for other requests."""
    if not scope["path"].endswith(("/artifacts/list", "/get-artifact")):
        return None
    query = QueryParams(scope.get("query_string", b""))
    folder, _, name = query.get("path", "").partition("/")
    is_plot = folder == "plots" and name.removesuffix(".png") not in DRAWN_AT_ONCE
    return (query.get("run_uuid") or query.get("run_id")) if is_plot else None


def draw_missing_plots(database: str, run_id: str) -> bool:
    """Have a night's missing plots drawn, and all logged; True if none is missing now, or the run is no night's.

    They are drawn in a process of their own, which imports what this one never does.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(database)
    try:
        run = client.get_run(run_id)
    except MlflowException as refused:
        return bool(refused.error_code == "RESOURCE_DOES_NOT_EXIST")  # else its database is away
    ticker, key = (run.data.tags.get(name, "") for name in ("stockml.ticker", "stockml.key"))
    night = kept_night(current_home().nights, ticker, key) if ticker and key else None
    if night is None:
        return True
    if not all_plots_drawn(night):
        command = [sys.executable, "-m", "deployments.servers.mlflow_program", "draw", ticker, key]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, timeout=MAX_WAIT_S, check=False)
    try:  # also plots drawn before: MLflow may have had no room then
        log_plots(client, run, night)
    except (OSError, MlflowException):  # the page shows what it has
        return False
    return all_plots_drawn(night)


def all_plots_drawn(night: Night) -> bool:
    folder = Path(night.plots_folder or "")
    return all((folder / f"{name}.png").exists() for name in night.figures)


def draw(ticker: str, key: str) -> None:
    from stockml.pipeline.plots import draw_rest

    gc.disable()  # imports leave little to collect
    if night := kept_night(current_home().nights, ticker, key):
        draw_rest(current_home(), night)


if __name__ == "__main__":
    if sys.argv[1] == "draw":
        draw(*sys.argv[2:])
    else:
        main(int(sys.argv[1]), sys.argv[2])
