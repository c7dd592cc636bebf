"""What `stockml up` consists of: each a program with its arguments and environment, started together or one by one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from deployments.registration import POOL
from deployments.servers.access import Access
from deployments.servers.environment import mlflow_database
from stockml.home import Home


@dataclass(frozen=True)
class Part:
    """`python -m module arguments...`; `environ` may hold secrets, arguments never do: everyone here can see them."""

    name: str
    module: str
    arguments: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)


def prefect(port: int, environ: Mapping[str, str]) -> Part:
    """Prefect's server and page."""
    without_api = {name: value for name, value in environ.items() if name != "PREFECT_API_URL"}
    return Part("Prefect", "deployments.servers.prefect_program", (str(port),), without_api)


def mlflow(home: Home, port: int, environ: Mapping[str, str]) -> Part:
    """MLflow's server and page."""
    database = {"MLFLOW_BACKEND_STORE_URI": mlflow_database(home, environ)}
    return Part("MLflow", "deployments.servers.mlflow_program", (str(port), home.artifacts), {**environ, **database})


def worker(environ: Mapping[str, str], *more: str) -> Part:
    """The one that starts runs, two at once; PREFECT_API_URL and MLFLOW_TRACKING_URI say where."""
    arguments = ("--pool", POOL, "--type", "process", "--name", "this machine", "--limit", "2", *more)
    level = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO"}
    return Part("the worker", "deployments.servers.worker_program", arguments, {**environ, **level})


def as_client(access: Access) -> dict[str, str]:
    """How the worker and its runs are let in."""
    if not access.password:
        return {}
    user, _, password = access.password.partition(":")
    return {
        "PREFECT_API_AUTH_STRING": access.password,
        "MLFLOW_TRACKING_USERNAME": user,
        "MLFLOW_TRACKING_PASSWORD": password,
    }
