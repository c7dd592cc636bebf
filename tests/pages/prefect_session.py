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
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from tenacity import (
    retry,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_delay,
    wait_fixed,
)

from deployments.registration import MANAGED
from stockml.provider.price_source import REPLAY
from stockml.storage.arrays import unpacked
from stockml.training import checkpoint
from tests.pages.prefect_pages import BUSY
from tests.support import commands
from tests.support.own_servers import free_port
from tests.support.patience import PATIENCE_S

CLIENT = "tests"
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


def is_busy(error: BaseException) -> bool:
    if not isinstance(error, HTTPError) or error.code != BUSY:
        return False
    error.close()  # the answer holds its connection
    return True


@dataclass(frozen=True)
class Up:
    """Both pages' addresses, and the home they show; the process of `stockml up`, and the lines it
    printed."""

    home: Path
    prefect: str
    mlflow: str
    process: "subprocess.Popen[str] | None" = None
    said: list[str] = field(default_factory=list)

    @retry(
        retry=retry_if_exception(is_busy),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(PATIENCE_S),
        reraise=True,
    )
    def api(self, path: str, content: Any = None) -> Any:
        """Ask Prefect's API, and again if the database was busy, as its own client does."""
        if content is None:
            request = Request(f"{self.prefect}/api{path}")
        else:
            request = Request(
                f"{self.prefect}/api{path}", json.dumps(content).encode(), self._headers()
            )
        with urlopen(request, timeout=PATIENCE_S) as reply:
            return json.load(reply)

    def _headers(self) -> dict[str, str]:
        """The headers that a change needs: a token, and the client that it was given to."""
        token = self.api(f"/csrf-token?client={CLIENT}")["token"]
        return {
            "Content-Type": "application/json",
            "Prefect-Csrf-Client": CLIENT,
            "Prefect-Csrf-Token": token,
        }

    def runs(self, flow: str = "nightly") -> list[dict[str, Any]]:
        """All runs of a flow that are not merely scheduled, newest first."""
        begun = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}
        wanted = {"flow_runs": begun, "flows": {"name": {"any_": [flow]}}}
        return list(self.api("/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", **wanted}))

    def run(self, run_id: str) -> dict[str, Any]:
        return dict(self.api(f"/flow_runs/{run_id}"))

    @retry(
        retry=retry_if_exception_type(NotYet),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(PATIENCE_S),
    )
    def finished(self, count: int) -> dict[str, Any]:
        """The newest night, once there are `count` and it has ended."""
        runs = self.runs()
        if len(runs) < count or runs[0]["state_type"] not in ENDS:
            raise NotYet
        return runs[0]

    @retry(
        retry=retry_if_exception_type(NotYet),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(PATIENCE_S),
    )
    def until(self, run_id: str, *names: str) -> dict[str, Any]:
        """The run, once its state has one of these names."""
        if (run := self.run(run_id))["state_name"] not in names:
            raise NotYet
        return run

    @retry(
        retry=retry_if_exception_type(NotYet),
        wait=wait_fixed(0.1),
        stop=stop_after_delay(PATIENCE_S),
    )
    def training(self, ticker: str, epochs: int = 3) -> Path:
        """The checkpoint of the ticker's training under way, once it has had this many epochs."""
        for kept in self.home.glob(f"models/{ticker}/*/_*/{checkpoint.NAME}"):
            if epochs_of(kept) >= epochs:
                return kept
        raise NotYet

    def epochs(self, run_id: str) -> list[int]:
        """The numbers of the epochs that the run has logged, in order."""
        wanted = {"flow_run_id": {"any_": [run_id]}}
        lines = self.api("/logs/filter", {"logs": wanted, "sort": "TIMESTAMP_ASC", "limit": 200})
        return [int(found[1]) for line in lines if (found := EPOCH.match(line["message"]))]

    def start(self, deployment: str, due: datetime | None = None, **parameters: Any) -> str:
        """Start a run of `flow/deployment`, at once or when it is due, as its form does; return its
        id."""
        known = self.api(f"/deployments/name/{quote(deployment)}")
        state = {"type": "SCHEDULED"} | (
            {"state_details": {"scheduled_time": due.isoformat()}} if due else {}
        )
        asked = {"parameters": known["parameters"] | parameters, "state": state}
        return str(self.api(f"/deployments/{known['id']}/create_flow_run", asked)["id"])

    def overdue(self, ticker: str, minutes: int) -> str:
        """Create a night that should have begun this long ago, in a pool without a worker; return
        the run's id."""
        due = (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()
        pool = f"nobody's, for {ticker}"
        self.api("/work_pools/", {"name": pool, "type": "process"})
        flow = self.api("/flows/", {"name": "nightly"})["id"]
        of_nobody = {
            "name": f"{ticker} of nobody",
            "flow_id": flow,
            "work_pool_name": pool,
            "tags": [MANAGED],
        }
        deployment = self.api("/deployments/", of_nobody)["id"]
        state = {"type": "SCHEDULED", "state_details": {"scheduled_time": due}}
        asked = {"name": f"{ticker} 2013-03-04", "state": state}
        return str(self.api(f"/deployments/{deployment}/create_flow_run", asked)["id"])

    @retry(
        retry=retry_if_exception_type(NotYet),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(PATIENCE_S),
    )
    def notice(self, night: str) -> str:
        """The first line of notices.log on the ticker's night, without its time, once there is
        one."""
        kept = self.home / "notices.log"
        lines = kept.read_text().splitlines() if kept.exists() else []
        if not (found := [line for line in lines if f" {night} " in line]):
            raise NotYet
        return found[0].partition(" ")[2]

    @retry(
        retry=retry_if_exception_type(NotYet),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(PATIENCE_S),
    )
    def states(self, run_id: str, count: int) -> set[str]:
        """The states of a run's steps, once the server has recorded that `count` have ended: it
        learns so by events."""
        steps = self.api("/task_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
        if len(steps) < count or any(step["state_type"] not in ENDS for step in steps):
            raise NotYet
        return {step["state_name"] for step in steps}

    @retry(
        retry=retry_if_exception_type(NotYet),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(PATIENCE_S),
    )
    def at_rest(self) -> None:
        """Wait until the server has recorded that no step of any run is at work."""
        if self.api(
            "/task_runs/filter",
            {"task_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}},
        ):
            raise NotYet

    def artifact(self, key: str) -> dict[str, Any]:
        """The newest artifact with this key."""
        wanted = {"sort": "CREATED_DESC", "limit": 1, "artifacts": {"key": {"any_": [key]}}}
        return dict(self.api("/artifacts/filter", wanted)[0])


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
