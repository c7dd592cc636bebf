"""What others set in the environment, and Prefect or Python refuses, is told in a line that says
what to correct."""

import re
import subprocess
import sys

import pytest

from stockml.home import HomePaths
from tests.support.commands import stockml
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.slow

PORT = "PREFECT_SERVER_API_PORT"
REFUSED = (
    "stockml: expected settings that Prefect can read, found ServerAPISettings.port: Input "
    "should be a valid integer"
)
WAITS_FOR_ITS_SERVERS_END = """
import psutil
from deployments.cli.app import reported
from deployments.servers.prefect_api import prefect_api
from stockml.home import current_home

def command():
    with prefect_api(current_home()):
        psutil.wait_procs(psutil.Process().children())
        from prefect.client.orchestration import get_client
        get_client(sync_client=True)

raise SystemExit(reported(command))
"""


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        (PORT, "secret", REFUSED),
        ("PREFECT_PROFILES_PATH", __file__, "correct its profiles.toml, "),
        ("PREFECT_PROFILES_PATH", sys.executable, "correct its profiles.toml, "),  # no text
        ("TZ", "UTC+25", "stockml: expected TZ to name a zone within a day of UTC, found UTC+25; "),
        (
            "ALL_PROXY",
            "socks5://me:secret@proxy:1",
            "stockml: expected HTTP proxies, found one of SOCKS",
        ),
    ],
)
@pytest.mark.usefixtures("home")
def test_what_is_refused_of_the_environment_is_told_in_a_line_without_its_secrets(
    variable: str, value: str, told: str
) -> None:
    failed = stockml(
        "nightly",
        "IBM",
        **{variable: value, variable.lower(): value, "NO_PROXY": "", "no_proxy": ""},
    )
    said = failed.stderr.splitlines()[-1]  # above it, Prefect may say the same at length
    assert (failed.returncode, told in said) == (1, True), said
    assert not re.search("secret|report it", said)


def test_settings_that_prefect_refuses_are_named_even_where_its_server_ended_of_them_first(
    home: HomePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.root.mkdir()
    monkeypatch.setenv(PORT, "secret")
    command = [sys.executable, "-c", WAITS_FOR_ITS_SERVERS_END]
    failed = subprocess.run(
        command, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S, check=False
    )
    assert (failed.returncode, failed.stderr.splitlines()[-1].startswith(REFUSED)) == (1, True), (
        failed.stderr
    )
