"""What the process that is forked for each run has prepared."""

import subprocess
import sys
from pathlib import Path

import pytest

from stockml.home import current_home

WITHOUT_LOOKING_OR_READING = """
from deployments.servers.warm_server import prepare
prepare()
import ast
import exchange_calendars
from datetime import date
from stockml.models import pooled_vintages
from stockml.models.vintage_set import VintageSet
from stockml.nights.record import Night
from stockml.pipeline import dataset
from stockml.pipeline.night_key import evaluation_code, training_code
from stockml.prices.calendar import sessions_for
from stockml.storage import records
from stockml.tracking.models import zipped_code
exchange_calendars.get_calendar = None
for ticker in ("MSFT", "TSCO.LON"):
    print(sessions_for(ticker).name, sessions_for(ticker).tz)
ast.parse = pooled_vintages.read = pooled_vintages.digest = records.TypeAdapter = dataset.sha256_of = None
training_code()
for year in (2005, 2013, 2025):
    print(sorted(VintageSet.ending_before(date(year, 1, 1)).identity()))
print(len(evaluation_code()), len(dataset._shipped()), zipped_code()[:2], records._reader(Night).core_schema["type"])
"""


@pytest.mark.slow
def test_known_tickers_calendars_vintages_sources_and_record_readers_are_ready(tmp_path: Path) -> None:
    ledger = current_home({"STOCKML_HOME": str(tmp_path)}).ledger
    ledger.mkdir(parents=True)
    for name in ("TSCO.LON", "no ticker at all"):
        (ledger / f"{name}.parquet").touch()
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")  # refused where there is no LaTeX
    own = {"STOCKML_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "MATPLOTLIBRC": str(tmp_path)}
    command = [sys.executable, "-c", WITHOUT_LOOKING_OR_READING]
    done = subprocess.run(command, env=own, text=True, capture_output=True, check=False)
    said = done.stdout.splitlines()
    assert said[:2] == ["XNYS America/New_York", "XLON Europe/London"], done.stderr[-2000:]
    assert said[2:5] == ["['base', 'regression', 'ridge']"] * 3, done.stderr[-2000:]
    assert said[5].startswith("64 64 b'PK'"), done.stderr[-2000:]


OF_A_SERVER_THAT_IS_GONE = """
import os
from deployments.servers.warm_server import _become
_become({"environ": {}, "folder": "/no such folder"}, [], server=os.getpid())
"""


def test_a_run_whose_server_was_killed_before_it_could_be_bound_to_it_ends_at_once() -> None:
    command = [sys.executable, "-c", OF_A_SERVER_THAT_IS_GONE]
    done = subprocess.run(command, env={"PYTHONPATH": ":".join(sys.path)}, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (1, "")
