"""MLflow's server and page, as `mlflow server` runs them, behind the guard, once its database is whole.

MLflow's server makes its tables in migrations that are no transaction on SQLite: killed among them, it would leave a
database that nobody can open again. So they are made the way a night makes them, before the server starts.

The page is opened without its assistant, which otherwise comes by itself on a first visit and hides a third of it:
MLflow 3.17 has no setting for this, its page asks the browser whether the assistant has come before.
"""

import os
import sys
from collections.abc import MutableMapping
from dataclasses import replace

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.servers.access import Access, Guard
from deployments.servers.opened_plots import OpenedPlots
from stockml.home import home
from stockml.tracking.client import Tracking

HAS_COME = "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1"
SCRIPT = f"<script>localStorage.getItem('{HAS_COME}') || localStorage.setItem('{HAS_COME}', 'true')</script>".encode()
HEAD = b"<head>"


def main(port: int, artifacts: str, environ: MutableMapping[str, str] = os.environ) -> None:
    """Serve the database that MLFLOW_BACKEND_STORE_URI names and the files under `artifacts`, until SIGTERM."""
    access, database = Access.of(environ), environ["MLFLOW_BACKEND_STORE_URI"]
    replace(Tracking.of(home(environ)), uri=database).prepare()
    from mlflow.server import constants

    # as patterns for any port; the bracket of an IPv6 address would open a set of characters
    any_port = [f"{host.replace('[', '[[]', 1)}:*" for host in access.hosts]
    environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join([*access.hosts, *any_port])
    environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(access.origins(port))
    environ[constants.BACKEND_STORE_URI_ENV_VAR] = environ[constants.REGISTRY_STORE_URI_ENV_VAR] = database
    environ[constants.ARTIFACT_ROOT_ENV_VAR] = "mlflow-artifacts:/"
    environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = artifacts
    environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true"
    import uvicorn
    from mlflow.server.fastapi_app import create_fastapi_app
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(database, database, "mlflow-artifacts:/")
    pages = ClosedAssistant(OpenedPlots(create_fastapi_app(), database))
    guarded = Guard(pages, access, asks_password=True, open_path="/health")
    uvicorn.run(guarded, host=access.address, port=port, access_log=False)


class ClosedAssistant:
    """An ASGI application around MLflow's: the page itself says that the assistant has come."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (scope["type"], scope.get("method"), scope.get("path")) != ("http", "GET", "/"):
            await self._application(scope, receive, send)
            return
        start: list[Message] = []
        content = b""

        async def changed(message: Message) -> None:
            nonlocal content
            if message["type"] == "http.response.start":
                start.append(message)
                return
            content += message.get("body", b"")
            if not message.get("more_body"):
                body = content.replace(HEAD, HEAD + SCRIPT, 1)
                headers = MutableHeaders(scope=start[0])
                del headers["content-length"]
                if body:
                    headers["content-length"] = str(len(body))
                await send(start[0])
                await send({"type": "http.response.body", "body": body})

        await self._application(scope, receive, changed)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
