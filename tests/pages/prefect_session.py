"""`stockml up` as a person starts it, on free ports and recorded prices, for tests that click
through its pages."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient

from stockml.provider.price_source import REPLAY
from stockml.storage.arrays import unpacked
from stockml.training import checkpoint
from tests.support import commands
from tests.support.own_servers import free_port
from tests.support.patience import until

EPOCH = re.compile("held out: epoch ([0-9]+) of ")
ENDS = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
ELSEWHERE = (
    "ALPHAVANTAGE_API_KEY",
    "ALPHAVANTAGE_URL",
    "MLFLOW_TRACKING_URI",
    "PREFECT_API_URL",
    "STOCKML_CLOCK",
)


class NotYet(Exception):
    """What is waited for has not happened."""


@dataclass(frozen=True)
class Up:
    """Both pages' addresses, and the home they show; the process of `stockml up`, and the lines it
    printed."""

    home: Path
    prefect: str
    mlflow: str
    process: "subprocess.Popen[str] | None" = None
    said: list[str] = field(default_factory=list)

    def api(self, path: str, content: Any = None) -> Any:
        """Ask Prefect's API, by its client, which asks again if the database was busy."""
        with SyncPrefectClient(f"{self.prefect}/api") as client:
            method = "GET" if content is None else "POST"
            return client.request(method, path, json=content).json()

    def runs(self, flow: str = "nightly") -> list[dict[str, Any]]:
        """All runs of a flow that are not merely scheduled, newest first."""
        begun = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}
        wanted = {"flow_runs": begun, "flows": {"name": {"any_": [flow]}}}
        return self.api("/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", **wanted})

    def run(self, run_id: str) -> dict[str, Any]:
        return self.api(f"/flow_runs/{run_id}")

    def finished(self, count: int) -> dict[str, Any]:
        """The newest night, once there are `count` and it has ended."""

        def ended() -> dict[str, Any] | None:
            runs = self.runs()
            return runs[0] if len(runs) >= count and runs[0]["state_type"] in ENDS else None

        return until(ended, every_s=0.5)

    def until(self, run_id: str, *names: str) -> dict[str, Any]:
        """The run, once its state has one of these names."""

        def reached() -> dict[str, Any] | None:
            return run if (run := self.run(run_id))["state_name"] in names else None

        return until(reached, every_s=0.5)

    def training(self, ticker: str, epochs: int = 3) -> Path:
        """The checkpoint of the ticker's training under way, once it has had this many epochs."""

        def begun() -> Path | None:
            found = self.home.glob(f"models/{ticker}/*/_*/{checkpoint.NAME}")
            return next((kept for kept in found if epochs_of(kept) >= epochs), None)

        return until(begun, every_s=0.1)

    def epochs(self, run_id: str) -> list[int]:
        """The numbers of the epochs that the run has logged, in order."""
        wanted = {"flow_run_id": {"any_": [run_id]}}
        lines = self.api("/logs/filter", {"logs": wanted, "sort": "TIMESTAMP_ASC", "limit": 200})
        return [int(found[1]) for line in lines if (found := EPOCH.match(line["message"]))]

    def start(self, deployment: str, due: datetime | None = None, **parameters: Any) -> str:
        """Start a run of `flow/deployment`, at once or when it is due, as its form does; return its
        id."""
        known = self.api(f"/deployments/name/{deployment}")
        details = {"scheduled_time": due.isoformat()} if due else {}
        state = {"type": "SCHEDULED", "state_details": details}
        asked = {"parameters": known["parameters"] | parameters, "state": state}
        return self.api(f"/deployments/{known['id']}/create_flow_run", asked)["id"]

    def at_rest(self) -> None:
        """Wait until the server has recorded that no step of any run is at work."""
        at_work = {"task_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}}
        until(lambda: not self.api("/task_runs/filter", at_work), every_s=0.5)

    def artifact(self, key: str) -> dict[str, Any]:
        """The newest artifact with this key."""
        wanted = {"sort": "CREATED_DESC", "limit": 1, "artifacts": {"key": {"any_": [key]}}}
        return self.api("/artifacts/filter", wanted)[0]


def epochs_of(kept: Path) -> int:
    """How many epochs the first network of a checkpoint has had."""
    label = unpacked(kept.read_bytes())[0]
    return int(json.loads(label.tobytes())["facts"]["epoch"])


@contextmanager
def up(home: Path, **more: str) -> Iterator[Up]:
    """Start both pages and a worker, with `more` in their environment; stop them as Ctrl-C does."""
    ports, own = (free_port(), free_port()), {"STOCKML_HOME": str(home)}
    with commands.up(ports, without=ELSEWHERE, **own, **more) as (process, said):
        yield Up(home / REPLAY, *(f"http://127.0.0.1:{port}" for port in ports), process, said)


def main(root: str, folder: str) -> None:
    """Run IBM's night again in this home, and take a picture of the status."""
    from tests.support.chromium import browser_page, chromium, keep_picture

    command = [sys.executable, "-m", "deployments.cli", "nightly", "IBM", "--force"]
    with up(Path(root)) as pages, chromium() as browser, browser_page(browser, 1280, 720) as page:
        subprocess.run(command, env=os.environ | {"STOCKML_HOME": root}, check=True)
        page.goto(f"{pages.prefect}/artifacts/artifact/{pages.artifact('status')['id']}")
        page.get_by_text("The network's gain is beyond luck").wait_for()
        keep_picture(page, Path(folder, "prefect-status.png"))


if __name__ == "__main__":
    main(*sys.argv[1:])
