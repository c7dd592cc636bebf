"""Notices to a person: which tickers lack a forecast, and, without a notification block, a log of
what happened."""

from datetime import UTC, datetime
from textwrap import shorten

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, State
from pydantic import Field

from stockml import clock
from stockml.home import HomePaths, current_home
from stockml.nights import states
from stockml.nights.status import digest, long_missing, missing, missing_line, rows
from stockml.redaction import excerpt
from stockml.storage.files import write_atomically
from stockml.storage.locks import file_lock
from stockml.tickers import validated_ticker
from tasks.artifacts import next_nights, next_runs
from tasks.events import tell_of_morning
from tasks.run_records import is_due_again

MAX_NOTICE, MAX_NOTICES = 1_000, 1_000  # characters of a line; lines


def run_name() -> str:
    return f"{clock.now():%Y-%m-%d}"


@flow(name="missing forecasts", flow_run_name=run_name)
def missing_forecasts(
    tickers: list[str] = Field(description="The tickers whose forecasts are checked"),
    calendars: dict[str, str] = Field(
        {}, description="Exchange calendar per ticker, where the suffix does not decide it"
    ),
) -> State:
    """Tell the morning's digest; end as `Forecasts missing`, naming the tickers and why, or as
    Completed.

    Delisted or paused ones lack none.
    """
    if is_due_again():
        return Completed(message="left to the next one, which is due too")
    with get_client(sync_client=True) as client:
        paused = {
            ticker for ticker, start in next_runs(next_nights(client)).items() if start is None
        }
    names = sorted({validated_ticker(ticker) for ticker in tickers} - paused)
    calendar_by_ticker = {
        validated_ticker(ticker): calendar for ticker, calendar in calendars.items()
    }
    home, now = current_home(), clock.now()
    lacking = missing(home, names, now, calendar_by_ticker)
    listed = rows(home, names, now, calendars=calendar_by_ticker)
    tell_of_morning(digest(listed, lacking), long_missing(home, lacking, now, calendar_by_ticker))
    line = missing_line(lacking, len(names))
    get_run_logger().info("%s", line)
    return Completed(name=states.FORECASTS_MISSING if lacking else "Completed", message=line)


def notice_name() -> str:
    """The notice's beginning, which fits a line of the page."""
    return shorten(str(flow_run.parameters["what"]), 80)


@flow(name="notice", flow_run_name=notice_name)
def notice(what: str = Field(description="What happened")) -> State:
    """Log it as a warning, add it to STOCKML_HOME/notices.log, and end in no colour: it may tell of
    a failure."""
    get_run_logger().warning("%s", what)
    append_notice(current_home(), what, datetime.now(UTC))
    return Cancelled(name="Notice", message=what)


def append_notice(home: HomePaths, what: str, at: datetime) -> None:
    """Append the time and what happened, without line breaks or keys, to `notices.log`. Raises
    StoreBusy, DiskFull."""
    path = home.root / "notices.log"
    with file_lock(home.locks / "notices.lock", timeout_s=30):
        earlier = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        line = f"{at.isoformat(timespec='seconds')} {excerpt(what, MAX_NOTICE)}".encode()
        write_atomically(path, b"".join(each + b"\n" for each in [*earlier, line][-MAX_NOTICES:]))
