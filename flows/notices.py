"""Notices to a person: which tickers lack a forecast, and, without a notification block, a log of what happened."""

from datetime import UTC, datetime

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger
from prefect.states import Completed, State
from pydantic import Field

from stockml import clock
from stockml.home import current_home
from stockml.maintenance.notice_log import append_notice
from stockml.nights import states
from stockml.nights.status import missing, missing_line
from stockml.tickers import validated_ticker
from tasks.run_records import is_due_again
from tasks.status_page import next_nights, next_runs


def run_name() -> str:
    return f"{clock.now():%Y-%m-%d}"


@flow(name="missing forecasts", flow_run_name=run_name)
def missing_forecasts(
    tickers: list[str] = Field(description="The tickers whose forecasts are checked"),
    calendars: dict[str, str] = Field(
        {}, description="Exchange calendar per ticker, where the suffix does not decide it"
    ),
) -> State:
    """End as `Forecasts missing`, naming the tickers and why, or as Completed. Delisted or paused ones lack none."""
    if is_due_again():
        return Completed(message="left to the next one, which is due too")
    with get_client(sync_client=True) as client:
        paused = {ticker for ticker, start in next_runs(next_nights(client)).items() if start is None}
    names = sorted({validated_ticker(ticker) for ticker in tickers} - paused)
    calendar_by_ticker = {validated_ticker(ticker): calendar for ticker, calendar in calendars.items()}
    lacking = missing(current_home(), names, clock.now(), calendar_by_ticker)
    line = missing_line(lacking, len(names))
    get_run_logger().info("%s", line)
    return Completed(name=states.FORECASTS_MISSING if lacking else "Completed", message=line)


@flow(name="notice", flow_run_name="{what}")
def notice(what: str = Field(description="What happened, in one line")) -> None:
    """Log the line as a warning, and add it to STOCKML_HOME/notices.log."""
    get_run_logger().warning("%s", what)
    append_notice(current_home(), what, datetime.now(UTC))
