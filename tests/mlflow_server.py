"""A real MLflow server over a home's database and artifacts, on a free loopback port."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from stockml.home import Home

START_S = 120.0


@contextmanager
def mlflow_server(home: Home) -> Iterator[str]:
    """Start it as `stockml up` does; yield its address once it is healthy."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home.root}/mlflow.db", "--artifacts-destination", home.artifacts]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = home.root / "mlflow.log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, env={**os.environ, **quiet}, stdout=output, stderr=output)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(server, address)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def _wait(server: "subprocess.Popen[bytes]", address: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert server.poll() is None, "the MLflow server ended while it started"
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"expected MLflow to answer at {address} within {START_S:.0f} s")
