"""What a person reads of a recorded night: one text a surface, kept in screens.txt as it was
reviewed."""

import io
import os
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deployments.cli.app import run
from deployments.process import restored
from stockml import clock
from stockml.forecasts.ledger import Ledger, LedgerEntry
from stockml.home import current_home
from stockml.nights import status, summary
from stockml.nights.record import night_path, write_night
from tests.support.kept import check_kept, read_kept
from tests.support.nights import recorded_night
from tests.support.publishing import FRIDAY, LAST, SATURDAY, publish, record
from tests.support.recordings import recorded

KEPT = Path(__file__).with_name("screens.txt")
COMMANDS = (
    "forecast IBM",
    "forecast IBM --details",
    "forecast IBM --past",
    "size IBM --risk 1% --capital 50000",
    "status",
    "status --details",
)


def screens():
    """What each command prints, and Prefect's pages show, in a home of a night and its bars."""
    with TemporaryDirectory() as folder, restored(os.environ, ("STOCKML_HOME", "STOCKML_CLOCK")):
        os.environ.update(STOCKML_HOME=folder, STOCKML_CLOCK=SATURDAY)
        home, night = current_home(), recorded_night(day=LAST)
        assert night.forecast
        record(home, recorded("IBM").tail(300), LAST)
        publish(home, FRIDAY, price="close")
        published_at = datetime(2013, 3, 2, 4, tzinfo=UTC)
        Ledger(home.ledger).publish(LedgerEntry("IBM", night.key, published_at, night.forecast))
        write_night(night, night_path(home.nights, "IBM", night.key))
        listed = status.rows(home, {"IBM", "KO"}, clock.now())
        texts = {command: _printed(command) for command in COMMANDS}
    texts["artifact of a night"] = summary.markdown(night)
    texts["artifact of the status"] = status.markdown(listed)
    return {name: text.replace(folder, "HOME").rstrip() for name, text in texts.items()}


def _printed(command):
    with redirect_stdout(io.StringIO()) as printed:
        assert run(command.split()) == 0
    return printed.getvalue()


@pytest.fixture(scope="module")
def found():
    return screens()


@pytest.mark.parametrize("name", read_kept(KEPT))
def test_a_screen_says_what_was_reviewed(found, name):
    check_kept(KEPT, name, found[name])
