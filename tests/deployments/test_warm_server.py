"""What a process that is forked for each run has done before."""

import subprocess
import sys
from pathlib import Path

import pytest

from stockml.home import home

WITHOUT_LOOKING = """
from deployments.servers.warm_server import prepare
prepare()
import exchange_calendars
exchange_calendars.get_calendar = None
from stockml.prices.calendar import sessions_for
for ticker in ("MSFT", "TSCO.LON"):
    print(sessions_for(ticker).name, sessions_for(ticker).tz)
"""


@pytest.mark.slow
def test_the_calendars_of_known_tickers_are_made(tmp_path: Path) -> None:
    ledger = home({"STOCKML_HOME": str(tmp_path)}).ledger
    ledger.mkdir(parents=True)
    for name in ("TSCO.LON", "no ticker at all"):
        (ledger / f"{name}.parquet").touch()
    own = {"STOCKML_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", WITHOUT_LOOKING], env=own, text=True, capture_output=True, check=False)
    assert done.stdout.split("\n")[:2] == ["XNYS America/New_York", "XLON Europe/London"], done.stderr[-2000:]
