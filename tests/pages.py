"""`stockml up` as a person starts it, on free ports and recorded prices, for tests that click through its pages."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

ENDS = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
ELSEWHERE = ("ALPHAVANTAGE_API_KEY", "ALPHAVANTAGE_URL", "MLFLOW_TRACKING_URI", "PREFECT_API_URL", "STOCKML_CLOCK")


class NotYet(Exception):
    """What is waited for has not happened."""


@dataclass(frozen=True)
class Up:
    """Both pages' addresses, and the home they show."""

    home: Path
    prefect: str
    mlflow: str

    def api(self, path: str, content: Any = None) -> Any:
        """Ask Prefect's API."""
        sent = None if content is None else json.dumps(content).encode()
        request = Request(f"{self.prefect}/api{path}", sent, {"Content-Type": "application/json"})
        with urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def runs(self) -> list[dict[str, Any]]:
        """All flow runs that are not merely scheduled, newest first."""
        begun = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}
        return list(self.api("/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "flow_runs": begun}))

    @retry(retry=retry_if_exception_type(NotYet), wait=wait_fixed(0.5), stop=stop_after_delay(240))
    def finished(self, count: int) -> dict[str, Any]:
        """The newest flow run, once there are `count` and it has ended."""
        runs = self.runs()
        if len(runs) < count or runs[0]["state_type"] not in ENDS:
            raise NotYet
        return runs[0]

    @retry(retry=retry_if_exception_type(NotYet), wait=wait_fixed(0.5), stop=stop_after_delay(60))
    def states(self, run_id: str, count: int) -> set[str]:
        """The states of a run's steps, once the server has recorded the ends of `count`: they reach it as events."""
        steps = self.api("/task_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
        if len(steps) < count or any(step["state_type"] not in ENDS for step in steps):
            raise NotYet
        return {step["state_name"] for step in steps}

    def artifact(self, key: str) -> dict[str, Any]:
        """The newest artifact of a key."""
        wanted = {"sort": "CREATED_DESC", "limit": 1, "artifacts": {"key": {"any_": [key]}}}
        return dict(self.api("/artifacts/filter", wanted)[0])


@contextmanager
def up(home: Path) -> Iterator[Up]:
    """Start both pages and a worker; stop them as Ctrl-C does."""
    ports = [str(_free_port()) for _ in range(2)]
    command = [sys.executable, "-m", "deployments.cli", "up", "--prefect-port", ports[0], "--mlflow-port", ports[1]]
    environ = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    process = subprocess.Popen(
        command, env=environ | {"STOCKML_HOME": str(home)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        said = []
        while not said or "Ctrl-C" not in said[-1]:
            said.append(process.stdout.readline() if process.stdout else "")
            assert said[-1], "`stockml up` ended: " + "".join(said)
        yield Up(home, *(f"http://127.0.0.1:{port}" for port in ports))
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
