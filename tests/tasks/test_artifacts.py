"""What the rows of many nights say of a night that has no result."""

from datetime import date

import pytest
from prefect.states import Cancelling, Pending, Running, State

from tasks.artifacts import row_of

DIED = "its worker process died twice; see the machine's memory"


@pytest.mark.parametrize(
    ("state", "outcome", "why"),
    [
        (Pending(), "Crashed", DIED),
        (Running(), "Crashed", DIED),
        (Cancelling(), "Cancelling", "ended in the state Cancelling"),
    ],
)
def test_a_night_that_a_person_cancels_is_not_said_to_have_died(state: State[object], outcome: str, why: str) -> None:
    """Prefect lets it run to its end beside the others, and then keeps it in that state."""
    row = row_of("IBM", date(2013, 3, 1), state)
    assert (row.status, row.outcome, row.why) == ("failed", outcome, why)
