"""Many nights on one run's page: a table with a row each, and the state that says how they ended."""

import time
from collections.abc import Sequence
from datetime import date

from prefect.artifacts import create_table_artifact
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed, State

from stockml.nights.record import Night
from stockml.nights.universe import NightRow, ending, table
from stockml.settings import FailWhen
from tasks.artifacts import ProgressBar


def row_of(ticker: str, session: date | None, state: State) -> NightRow:
    """The row of a night by the state that it ended in; without an end its process died."""
    if not state.is_final():
        return NightRow(
            ticker, session, "failed", "Crashed", why="its worker process died twice; see the machine's memory"
        )
    ended = state.result(raise_on_failure=False)
    if isinstance(ended, NightRow):
        return ended
    if isinstance(ended, Night):
        return NightRow.of_night(ended, state.name or "")
    name = type(ended).__name__ if isinstance(ended, BaseException) else ""
    why = f"{name}: {ended}" if name and name not in str(ended) else str(ended)
    return NightRow(ticker, session, "failed", state.name or "Failed", why=why)


def show_rows(rows: Sequence[NightRow], *, key: str, description: str) -> None:
    """A table artifact: numbers stay numbers, so that its columns can be sorted."""
    create_table_artifact(table(rows), key=key, description=description)


def ended(rows: Sequence[NightRow], fail_when: FailWhen = "all fail") -> State:
    """The flow's final state; it carries the rows."""
    end = ending(rows, fail_when)
    get_run_logger().info("%s: %s", end.name.lower(), end.message)
    if end.failed:
        return Failed(message=end.message, data=list(rows))
    return Completed(name=end.name, message=end.message, data=list(rows))


def time_left(done: int, count: int, elapsed_s: float) -> str:
    """`about 20 s left`, as the rest will take as long each as what is done did."""
    rest_s = elapsed_s / done * (count - done)
    if rest_s < 90:
        return f"about {max(rest_s, 1):.0f} s left" if rest_s else "all done"
    return f"about {rest_s / 60:.0f} min left" if rest_s < 5400 else f"about {rest_s / 3600:.1f} h left"


class NightProgress:
    """A progress bar on the run's page that counts nights, and a log line for each."""

    def __init__(self, key: str, count: int) -> None:
        self._began = time.monotonic()
        self._bar = ProgressBar(f"{key}-progress", "nights that ended")
        self._count, self._done = max(count, 1), 0
        self._bar.move(0.0)

    def advance(self) -> None:
        self._done += 1
        left = time_left(self._done, self._count, time.monotonic() - self._began)
        get_run_logger().info("%d of %d, %s", self._done, self._count, left)
        self._bar.move(100.0 * self._done / self._count)
