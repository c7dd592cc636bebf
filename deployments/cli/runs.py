"""Runs of the flows in this process, with their progress on standard error: a line a step, and a live one on terminals.

What libraries write there on their own (TensorFlow's C++ side, MLflow's progress bars) goes to a file meanwhile.
"""

import gc
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

import typer

from deployments.process import restored
from deployments.servers.prefect_api import OWN_SERVER, prefect_api
from stockml.errors import InvalidFile
from stockml.home import home

if TYPE_CHECKING:
    from prefect import Flow

    from stockml.nights.record import Night
    from stockml.settings import Settings

_RUN_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")
_FINISHED = re.compile(r"Finished in state (\w+)")
_RETRY = re.compile(r"^Task run failed .*will start (\d+)", re.DOTALL)
_NOISE = re.compile(
    r"Beginning |Created |View at|Executing|Finished in state|Starting temporary|Task run failed|Enc|Running hook|Hook "
)


def foreseen(
    ticker: str, session: date | None, settings: "Settings", calendar: str | None, *, force: bool
) -> "Night | None":
    """The night, where nothing is to be done: no session, or all stands as it was left. Raises InvalidSession.

    Where machines share state, what is here is not all that there is, and the run looks itself.
    """
    from stockml import clock
    from stockml.forecasts.ledger import Ledger
    from stockml.nights.record import Night
    from stockml.pipeline.finished_nights import finished_night
    from stockml.pipeline.session_status import night_outcome
    from stockml.prices.calendar import sessions_for

    place, exchange = home(), sessions_for(ticker, calendar)
    done = Ledger(place.ledger).last_session(ticker) if place.state is None else None
    outcome = night_outcome(exchange, requested=session, now=clock.now(), last_stored=done)
    if outcome.state:
        return Night.skipped(ticker, outcome.session, str(outcome), datetime.now(UTC), settings.sha256())
    if force or place.state is not None:
        return None
    if night := finished_night(place, ticker, outcome.session, settings, calendar):
        print("stockml: nothing has changed since that night ran; --force computes it again", file=sys.stderr)
    return night


def run_flow(flow: str, *arguments: Any, pages: Sequence[str] = (), **named: Any) -> Any:
    """The outcome of a flow, named `module.function`, with a Prefect API of its own if none is up.

    pages: the deployments to have a page by then, the run's own first.
    """
    with prefect_api(home()):
        from deployments.registration.prefect_deployments import flow_of

        announce_pages(*pages)
        return outcome(flow_of(flow), *arguments, deployment=next(iter(pages), None), **named)


@contextmanager
def recorded_prices(*tickers: str) -> Iterator[None]:
    """A replay feed of this process meanwhile, where the home is for recorded prices and there is no key.

    Any other asks Alpha Vantage. Raises NotRecorded.
    """
    from deployments.replay.feed import Feed, replay_environment
    from deployments.replay.recording import recorded_rows
    from stockml.provider.price_source import plays_recorded

    if not plays_recorded(home(), os.environ):
        yield
        return
    for ticker in tickers:
        recorded_rows(ticker)
    with Feed.at(os.environ) as feed, restored(os.environ, replay_environment(feed)):
        os.environ.update(replay_environment(feed))
        print(f"no ALPHAVANTAGE_API_KEY: playing recorded prices in {home().root}", file=sys.stderr, flush=True)
        yield


def check_bars(tickers: Sequence[str], calendar: str | None) -> None:
    """Raises NoBars for a ticker of which nothing is stored: a typo is no failed run. Shared state the run looks at."""
    from stockml.prices.store import BarStore

    place = home()
    for ticker in tickers if place.state is None else ():
        BarStore.of(place, calendar).view(ticker)


def announce_pages(*names: str) -> None:
    """Make these deployments, so that a later `up` shows the runs before it; a server that is up has them."""
    if not (names and os.environ.get(OWN_SERVER)):
        return
    from deployments.registration.own_list import tickers_of
    from deployments.registration.prefect_deployments import announce, of_other_flows, of_tickers

    with suppress(InvalidFile):  # a night needs no list
        listed = tickers_of(home()).tickers
        announce([each for each in (*of_tickers(listed), *of_other_flows(listed)) if each.name in names])


def outcome(
    flow: "Flow[..., Any]", *arguments: Any, quiet: bool = False, deployment: str | None = None, **named: Any
) -> Any:
    """What the run left behind, also when it ended as failed; what it raised is raised. None stands for a default.

    To be called within `prefect_api()`. deployment: on whose page the run is shown, where there is one of this name.
    """
    from prefect.exceptions import ParameterTypeError

    from tasks.begun_runs import run_shown

    gc.freeze()  # what has been imported is not looked at again
    given = {name: value for name, value in named.items() if value is not None}
    with progress(quiet=quiet):
        state = run_shown(flow, deployment, *arguments, **given)
    found = state.result(raise_on_failure=False)
    if isinstance(found, ParameterTypeError):
        raise typer.BadParameter(str(found).partition("- ")[2].replace("\n - ", "; ")) from found
    if isinstance(found, BaseException):
        raise found
    return found


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[None]:
    """Show what the runs of this process log, unless `quiet`. To be entered after Prefect was imported."""
    with quiet_libraries() as terminal, ExitStack() as stack:
        if not quiet:
            plain = partial(print, file=terminal, flush=True)
            step, news = stack.enter_context(_live(terminal)) if terminal.isatty() else (plain, plain)
            handler = _Steps(step, news)
            for logger in map(logging.getLogger, _RUN_LOGGERS):
                logger.addHandler(handler)
                stack.callback(logger.removeHandler, handler)
        yield


@contextmanager
def quiet_libraries() -> Iterator[TextIO]:
    """Send this process's standard error to `library-noise.log` in the home; yield what it was before."""
    file = home().root / "library-noise.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    with os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace") as terminal, file.open("wb") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield terminal
        finally:
            sys.stderr.flush()
            os.dup2(terminal.fileno(), 2)


@contextmanager
def _live(terminal: TextIO) -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    from rich.console import Console

    console = Console(file=terminal, highlight=False)
    with console.status("starting") as status:
        yield (
            lambda line: console.print(line, markup=False),
            lambda line: status.update(line.strip().replace("[", r"\[")),
        )


class _Steps(logging.Handler):
    def __init__(self, step: Callable[[str], None], news: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._step, self._news = step, news

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        task = getattr(record, "task_run_name", None)
        if (finished := _FINISHED.match(message)) and task:
            word = {"Completed": "done", "Cached": "as before"}.get(finished[1], finished[1].lower())
            self._step(f"  {task:<40} {word}")
        elif retry := _RETRY.search(message):
            why = record.args[1] if isinstance(record.args, tuple) else ""
            self._news(f"    asked again in {retry[1]} s: {why}")
        elif not _NOISE.match(message):
            self._news(f"    {message.splitlines()[0]}")
