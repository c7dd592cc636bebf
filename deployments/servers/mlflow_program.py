"""MLflow's server and page, as `mlflow server` runs them, behind the guard, once its database is whole.

MLflow's server makes its tables in migrations that are no transaction on SQLite: killed among them, it would leave a
database that nobody can open again. So they are made the way a night makes them, before the server starts.
"""

import os
import sys
from collections.abc import MutableMapping
from dataclasses import replace

from deployments.servers.access import Access
from deployments.servers.closed_assistant import ClosedAssistant
from deployments.servers.guard import Guard
from deployments.servers.opened_plots import OpenedPlots
from stockml.home import home
from stockml.tracking.client import Tracking


def main(port: int, artifacts: str, environ: MutableMapping[str, str] = os.environ) -> None:
    """Serve the database that MLFLOW_BACKEND_STORE_URI names and the files under `artifacts`, until SIGTERM."""
    access, database = Access.of(environ), environ["MLFLOW_BACKEND_STORE_URI"]
    replace(Tracking.of(home(environ)), uri=database).prepare()
    environ.update(_settings(access, port, database, artifacts))
    import uvicorn
    from mlflow.server.fastapi_app import create_fastapi_app
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(database, database, "mlflow-artifacts:/")
    pages = ClosedAssistant(OpenedPlots(create_fastapi_app(), database))
    guarded = Guard(pages, access, asks_password=True, open_path="/health")
    uvicorn.run(guarded, host=access.address, port=port, access_log=False)


def _settings(access: Access, port: int, database: str, artifacts: str) -> dict[str, str]:
    from mlflow.server import constants

    return {
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(each for host in access.hosts for each in (host, _any_port(host))),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(access.origins(port)),
        constants.BACKEND_STORE_URI_ENV_VAR: database,
        constants.REGISTRY_STORE_URI_ENV_VAR: database,
        constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: artifacts,
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
    }


def _any_port(host: str) -> str:
    """As a pattern; the bracket of an IPv6 address would open a set of characters."""
    return f"{host.replace('[', '[[]', 1)}:*"


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
