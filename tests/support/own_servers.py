"""Real servers in separate processes, started as `stockml up` does, which tests can stop and start
again."""

import contextlib
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Self

import psutil

from deployments.servers import processes, stack
from deployments.servers.access import Access
from deployments.servers.prefect_api import settings_of
from deployments.servers.processes import Child, Program, start
from stockml.home import HomePaths
from tests.support.patience import PATIENCE_S


def free_port() -> int:
    """A port below those that the system hands out: another connection could get one of them before
    a server is up."""
    while True:
        port = secrets.choice(range(10_000, 32_000))
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


@dataclass
class OwnServer:
    """A server on a home's own database, which keeps its loopback port across restarts.

    more: further environment variables.
    """

    home: HomePaths
    program: Callable[[int, Access, Mapping[str, str]], Program]
    log: str
    health: str
    more: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    child: Child | None = None

    @classmethod
    def prefect(cls, home: HomePaths, **more: str) -> Self:
        return cls(home, stack.prefect, "prefect.log", "/api/health", more)

    @classmethod
    def mlflow(cls, home: HomePaths, **more: str) -> Self:
        return cls(home, partial(stack.mlflow, home), "mlflow.log", "/health", more)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start it; `wait` for it to answer."""
        environ = {**os.environ, **settings_of(self.home, self.more), **self.more}
        self.child = start(
            self.program(self.port, Access.of(environ), environ), self.home.root / "logs" / self.log
        )
        return self

    def wait(self) -> Self:
        assert self.child
        processes.wait_until_healthy(
            self.child, f"{self.address}{self.health}", time.monotonic() + PATIENCE_S
        )
        return self

    def stop(self) -> None:
        """Stop it as `stockml up` does, by SIGTERM."""
        if self.child:
            processes.stop([self.child])
        self.child = None

    def kill(self) -> None:
        """Send SIGKILL to it and all its descendants."""
        assert self.child
        top = psutil.Process(self.child.process.pid)
        for process in [top, *top.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextlib.contextmanager
def mlflow_server(home: HomePaths) -> Iterator[str]:
    """Run an MLflow server; yield its address once it is healthy."""
    with OwnServer.mlflow(home) as server:
        yield server.start().wait().address
