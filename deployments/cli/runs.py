"""Run flows in this process, with what they log on standard error: on a terminal, as one live line.

What libraries themselves write there (TensorFlow's C++ code, MLflow's progress bars) goes to a file
meanwhile.
"""

import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from typer import BadParameter

from deployments.process import lenient
from deployments.servers.prefect_api import prefect_api
from stockml.home import current_home

if TYPE_CHECKING:
    from prefect import Flow

    from stockml.nights.record import Night
    from stockml.settings import Profile, Settings

_RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
_OURS = tuple(
    f"{Path(__file__).parents[2] / package}{os.sep}"
    for package in ("stockml", "tasks", "flows", "deployments")
)


def result_without_run(
    ticker: str, session: date | None, settings: "Settings", calendar: str | None, *, force: bool
) -> "Night | None":
    """Return the night if there is nothing to do: no session, or an unchanged finished night. None
    if a run is needed.

    Raises InvalidSession.
    """
    from stockml import clock
    from stockml.forecasts.ledger import Ledger
    from stockml.nights.finished_nights import finished_night
    from stockml.nights.record import Night
    from stockml.nights.session_status import session_status
    from stockml.nights.status import ATTEMPT
    from stockml.prices.calendar import sessions_for

    home, exchange = current_home(), sessions_for(ticker, calendar)
    last_session = Ledger(home.ledger).last_session(ticker)
    status = session_status(exchange, requested=session, now=clock.now(), last_stored=last_session)
    if status.state:
        return Night.skipped(
            ticker, status.session, str(status), datetime.now(UTC), settings.sha256()
        )
    if force:
        return None
    if night := finished_night(home, ticker, status.session, settings, calendar):
        print(
            "stockml: nothing has changed since that night ran; --force computes it again",
            file=sys.stderr,
        )
        if session is None:  # a failed repetition of it is past
            (home.nights / ticker / ATTEMPT).unlink(missing_ok=True)
    return night


def run_flow(flow: str, *arguments: Any, **named: Any) -> Any:
    """Run the flow named `module.function`, return its result; start a Prefect API if none is
    up."""
    with prefect_api(current_home()):
        from deployments.registration.prefect_deployments import flow_of

        return result_of(flow_of(flow), *arguments, **named)


@contextmanager
def recorded_prices(*tickers: str) -> Iterator[None]:
    """Serve a replay feed from this process if the home holds recorded prices and there is no key.

    Otherwise do nothing: the run asks Alpha Vantage. Raises NotRecorded for a ticker that the feed
    lacks.
    """
    from deployments.replay import played, recorded_rows

    with played(current_home(), os.environ) as feed:
        if feed:
            for ticker in tickers:
                recorded_rows(ticker)
        yield


def night_parameters(
    ticker: str, profile: "Profile | None", calendar: str | None, settings: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A night's profile, calendar and settings: given, else the list's. Raises InvalidFile,
    BadParameter."""
    from deployments.registration.ticker_list import tickers_of
    from flows.form import of_ticker

    check_spelling(ticker)
    listed = next(
        (entry.own for entry in tickers_of(current_home()).tickers if entry.ticker == ticker), {}
    )
    return of_ticker(listed, profile, calendar, settings)


def check_spelling(*tickers: str) -> None:
    """Raise BadParameter for BRK.B where the list, or else the store, has BRK-B: it would begin a
    second share."""
    from deployments.registration.ticker_list import listed_spelling

    home, classes = current_home(), [ticker for ticker in tickers if not ticker.isalnum()]
    spelt = listed_spelling(home) if classes else str
    for ticker in classes:
        if (listed := spelt(ticker)) != ticker:
            raise BadParameter(
                f"expected a share as {home.root} spells it, found {ticker}, there as {listed}"
            )


def check_bars(tickers: Sequence[str], calendar: str | None) -> None:
    """Raise NoBars for a ticker without stored bars: a typo makes no failed run."""
    from stockml.nights.key_figures import store_of

    home = current_home()
    for ticker in tickers:
        store_of(home, ticker, calendar).view(ticker)


def result_of(flow: "Flow[..., Any]", *arguments: Any, quiet: bool = False, **named: Any) -> Any:
    """Run the flow and return its state's data, even of a failed state; raise what it raised. Drops
    None arguments.

    Call it within `prefect_api()`.
    """
    from prefect.exceptions import ParameterTypeError

    gc.freeze()  # garbage collections skip what is already imported
    options = {name: value for name, value in named.items() if value is not None}
    with progress(quiet=quiet):
        state: Any = flow(*arguments, return_state=True, **options)
    result = state.result(raise_on_failure=False)
    if isinstance(result, ParameterTypeError):
        raise BadParameter(str(result).partition("- ")[2].replace("\n - ", "; ")) from result
    if isinstance(result, BaseException):
        raise result
    return result


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[None]:
    """Show what runs in this process log, unless `quiet`. Enter it after Prefect is imported."""
    with quiet_libraries() as terminal, ExitStack() as stack:
        if not quiet:
            handler = _NewsPrinter(stack.enter_context(_line_printer(terminal)))
            for logger in map(logging.getLogger, _RUN_LOGGERS):
                logger.addHandler(handler)
                stack.callback(logger.removeHandler, handler)
        yield


@contextmanager
def quiet_libraries() -> Iterator[TextIO]:
    """Redirect this process's standard error to `library-noise.log` in the home; yield the original
    stream."""
    file = current_home().root / "library-noise.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    with lenient(os.dup(2), "utf-8") as terminal, file.open("wb") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield terminal
        finally:
            sys.stderr.flush()
            os.dup2(terminal.fileno(), 2)


@contextmanager
def _line_printer(terminal: TextIO) -> Iterator[Callable[[str], None]]:
    """Yield what shows a line: as the one live line of a terminal, else below the others."""
    if not terminal.isatty():
        yield partial(print, file=terminal, flush=True)
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(file=terminal, highlight=False).status("starting") as status:
        yield lambda line: status.update(escape(line.strip()))


class _NewsPrinter(logging.Handler):
    """Shows what this project's own code logs in a run, with the step that says it."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        if record.pathname.startswith(_OURS):
            step = getattr(record, "task_run_name", None)
            self._show(f"  {f'{step}: ' if step else ''}{record.getMessage().splitlines()[0]}")
