"""What becomes of what an automation has seen, where no notification block is there to tell it: a warning in a log."""

from datetime import UTC, datetime

from prefect import flow
from prefect.logging import get_run_logger
from pydantic import Field

from stockml.home import home
from stockml.maintenance.notice_log import append_notice


@flow(name="notice", flow_run_name="{what}")
def notice(what: str = Field(description="What happened, in one line")) -> None:
    """Log the line as a warning, and add it to STOCKML_HOME/notices.log."""
    get_run_logger().warning("%s", what)
    append_notice(home(), what, datetime.now(UTC))
