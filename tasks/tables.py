"""Many nights on one run's page: a table with a row each, and the state that says how they ended."""

from collections.abc import Sequence

from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed, State

from stockml.night import Night
from stockml.universe_report import FailWhen, Row, ending, records


def row_of(ticker: str, session: object, state: State) -> Row:
    """The row of a night by the state that it ended in."""
    ended = state.result(raise_on_failure=False)
    if isinstance(ended, Night):
        return Row.of_night(ended, state.name or "")
    name = type(ended).__name__ if isinstance(ended, BaseException) else ""
    why = f"{name}: {ended}" if name and name not in str(ended) else str(ended)
    return Row(ticker, session, "failed", state.name or "Failed", why=why)  # type: ignore[arg-type]


def show_rows(rows: Sequence[Row], *, key: str, description: str) -> None:
    """A table artifact: numbers stay numbers, so that its columns can be sorted."""
    create_table_artifact(records(rows), key=key, description=description)


def ended(rows: Sequence[Row], fail_when: FailWhen = "all fail") -> State:
    """The flow's final state; it carries the rows."""
    end = ending(rows, fail_when)
    get_run_logger().info("%s: %s", end.name.lower(), end.message)
    if end.failed:
        return Failed(message=end.message, data=list(rows))
    return Completed(name=end.name, message=end.message, data=list(rows))
