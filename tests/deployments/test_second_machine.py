"""A second machine for nights, by the password and the names of docs/how-to/many-machines.md.

The first one's state is its own folder here: on an object store, tests/faults/test_shared_machines.py.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from socket import gethostname
from urllib.request import Request, urlopen

import pytest

from stockml.home import Home
from tests.support.commands import up
from tests.support.own_servers import free_port
from tests.support.patience import PATIENCE_S
from tests.walk_howtos import commands

pytestmark = pytest.mark.slow

OF_THE_PAGES = re.compile(r"((?:PREFECT_|MLFLOW_|STOCKML_ALLOWED_HOSTS)\w*)=(\S+)")


def exported() -> tuple[dict[str, str], dict[str, str]]:
    """What the page has the first machine and every other one export for the two pages."""
    first, _, other = "\n".join(commands("many-machines")).partition("stockml up")
    return dict(OF_THE_PAGES.findall(first)), dict(OF_THE_PAGES.findall(other))


def answered(port: int, host: str) -> int:
    request = Request(f"http://127.0.0.1:{port}/api/health", headers={"Host": f"{host}:{port}"})
    with urlopen(request, timeout=PATIENCE_S) as reply:
        return int(reply.status)


def test_a_worker_elsewhere_is_let_in_with_what_the_page_says_and_called_by_its_machine(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ALPHAVANTAGE_API_KEY", raising=False)
    ports, (first, other) = (free_port(), free_port()), exported()
    with up(ports, "--address", "0.0.0.0", **first) as (_, said):
        [told] = [line for line in said if line.startswith("From other machines: ")]
        hosts = re.findall(rf"http://(\S+):{ports[0]}", told)
        assert hosts[0] == gethostname()
        assert {answered(ports[0], host) for host in (*hosts, "first.example")} == {200}
        there = {"4200": f"{hosts[-1]}:{ports[0]}", "5000": f"{hosts[-1]}:{ports[1]}"}
        other = {k: re.sub(r"first\.example:(\d+)", lambda asked: there[asked[1]], v) for k, v in other.items()}
        other |= {"STOCKML_HOME": str(tmp_path / "other"), "PREFECT_WORKER_WEBSERVER_PORT": str(free_port())}
        command = [sys.executable, "-m", "deployments.cli", "serve", "worker", "--no-deploy"]
        with subprocess.Popen(command, env=os.environ | other, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout
            assert worker.stdout.readline() == f"Worker '{gethostname()}' started!\n"
            worker.send_signal(signal.SIGINT)
