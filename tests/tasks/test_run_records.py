"""How a ticker's last run ended: what is kept of it, and of runs whose worker process is gone."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling, Completed, Failed, State

from stockml.errors import NoData
from stockml.home import HomePaths
from stockml.nights.status import last_run
from tasks.run_records import keep_end

NOW = datetime(2013, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (Failed(message="Flow run …", data=NoData("IBM", "{}")), ("Failed", "expected a daily")),
        (Completed(name="Late", message="the bar\nis late"), ("Late", "the bar is late")),
        (Cancelling(), ("Cancelled", "")),
    ],
)
def test_a_runs_end_is_kept_with_its_reason_in_one_line(
    home: HomePaths, state: State, kept: tuple[str, str]
) -> None:
    keep_end(FlowRun(flow_id=uuid4(), parameters={"ticker": "ibm"}), state, NOW)
    run = last_run(home.nights, "IBM")
    assert run
    assert (run.state, run.why.startswith(kept[1])) == (kept[0], True), run


def test_an_earlier_end_does_not_replace_a_later_one(home: HomePaths) -> None:
    run = FlowRun(flow_id=uuid4(), parameters={"ticker": "IBM"})
    keep_end(run, Completed(message="later"), NOW)
    keep_end(run, Completed(message="earlier"), NOW - timedelta(hours=1))
    kept = last_run(home.nights, "IBM")
    assert kept
    assert kept.why == "later"
