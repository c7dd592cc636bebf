"""How a ticker's last run ended: what is kept of it, and of runs whose worker process is gone."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling, Completed, Failed

from stockml.errors import NoData
from stockml.nights.status import last_run
from tasks.run_records import keep_end

NOW = datetime(2013, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "name", "why"),
    [
        (Failed(message="Flow run …", data=NoData("IBM", "{}")), "Failed", "expected a daily"),
        (Completed(name="Late", message="the bar\nis late"), "Late", "the bar is late"),
        (Cancelling(), "Cancelled", ""),
    ],
)
def test_a_runs_end_is_kept_with_its_reason_in_one_line_and_replaced_by_none_before_it(
    home, state, name, why
):
    run = FlowRun(flow_id=uuid4(), parameters={"ticker": "ibm"})
    for ended, at in ((state, NOW), (Completed(message="earlier"), NOW - timedelta(hours=1))):
        keep_end(run, ended, at)
        kept = last_run(home.nights, "IBM")
        assert kept
        assert (kept.state, kept.why.startswith(why)) == (name, True), kept
