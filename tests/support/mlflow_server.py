"""A real MLflow server over a home's database and artifacts, on a free loopback port."""

from collections.abc import Iterator
from contextlib import contextmanager

from stockml.home import Home
from tests.support.own_servers import OwnServer


@contextmanager
def mlflow_server(home: Home) -> Iterator[str]:
    """Start it as `stockml up` does; yield its address once it is healthy."""
    with OwnServer.mlflow(home) as server:
        yield server.start().wait().address
