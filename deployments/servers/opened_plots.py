"""Plots are drawn when somebody opens them: before MLflow answers a page that asks for a run's, they are made.

A night draws those that its own page shows; the others cost more than all the rest of it, and most are never seen.
"""

import asyncio
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.datastructures import QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from stockml.home import home
from stockml.nights.record import Night, kept_night
from stockml.tracking.run_content import PLOTS_SHOWN
from stockml.tracking.runs import log_plots

if TYPE_CHECKING:
    from mlflow.entities import Run

LONGEST_S = 120.0


class OpenedPlots:
    """An ASGI application around MLflow's."""

    def __init__(self, application: ASGIApp, database: str) -> None:
        self._application, self._database = application, database
        self._one_at_a_time = asyncio.Lock()
        self._seen_to: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (run_id := asked_for(scope)) and run_id not in self._seen_to:
            async with self._one_at_a_time:
                if run_id not in self._seen_to:
                    await self._see_to(run_id)
        await self._application(scope, receive, send)

    async def _see_to(self, run_id: str) -> None:
        """Have what is missing drawn, in a process of its own: it needs what this one never imports."""
        found = await asyncio.to_thread(night_of, run_id)
        if found and any(not (Path(found[1].plots_folder or "") / f"{name}.png").exists() for name in found[1].figures):
            run, night = found
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "deployments.servers.opened_plots", night.ticker, night.key)
            )
            try:
                await asyncio.wait_for(process.wait(), LONGEST_S)
            except TimeoutError:
                process.kill()
            await asyncio.to_thread(give, self._database, run, night)
        self._seen_to.add(run_id)


def asked_for(scope: Scope) -> str | None:
    """The run whose plots a request lists or opens, other than those that its night has drawn."""
    if not scope["path"].endswith(("/artifacts/list", "/get-artifact")):
        return None
    asked = QueryParams(scope.get("query_string", b""))
    folder, _, name = asked.get("path", "").partition("/")
    wanted = folder == "plots" and name.removesuffix(".png") not in PLOTS_SHOWN
    return (asked.get("run_uuid") or asked.get("run_id")) if wanted else None


def night_of(run_id: str) -> "tuple[Run, Night] | None":
    """The run, and the kept record of the night that it is of; None for any other run."""
    from mlflow.exceptions import MlflowException
    from mlflow.server.handlers import _get_tracking_store

    try:
        store: Any = _get_tracking_store()
        run: Run = store.get_run(run_id)
    except MlflowException:
        return None
    ticker, key = (run.data.tags.get(name) for name in ("stockml.ticker", "stockml.key"))
    night = kept_night(home().nights, ticker, key) if ticker and key else None
    return (run, night) if night else None


def give(database: str, run: "Run", night: Night) -> None:
    """What is drawn by now, to MLflow."""
    from mlflow import MlflowClient

    log_plots(MlflowClient(database), run, night)


def main(ticker: str, key: str) -> None:
    """Draw what of the night's plots is missing."""
    from stockml.pipeline.plots import draw_rest

    gc.disable()  # imports leave little to collect
    if night := kept_night(home().nights, ticker, key):
        draw_rest(home(), night)


if __name__ == "__main__":
    main(*sys.argv[1:])
