"""What is learned and measured outside the nights: a pretrained network across tickers, a ticker's
settings, past nights."""

from datetime import timedelta
from typing import Annotated

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, State
from pydantic import Field

from flows import form
from stockml import clock
from stockml.evaluation.backtest import Span
from stockml.evaluation.backtest_table import backtest_table, markdown
from stockml.nights import states
from stockml.redaction import escape_markdown
from stockml.settings import Sampler
from stockml.tickers import validated_ticker
from stockml.training.tuning import TuningResult
from tasks.artifacts import show_text
from tasks.run_records import failing_in_words
from tasks.studies import (
    backtest_tickers,
    folder_named,
    learn_network,
    read_prices,
    show_tuned,
    tune_settings,
)

THREE_YEARS = timedelta(days=3 * 365)


@flow(name="pretrain", flow_run_name="pretrain a network")
@failing_in_words
def pretrain(
    prices: str = Field(
        "", description="A folder of daily price files on this machine; empty for the store"
    ),
    through: form.Day = Field(
        "", description="Last session to learn from, YYYY-MM-DD; empty for the newest"
    ),
    seeds: Annotated[int, Field(ge=1, le=10)] = Field(
        2,
        description=(
            "Networks, from one random seed each; the pretrained network is their mean (1 to 10)"
        ),
    ),
) -> State:
    """Learn a pretrained network across all tickers of the store or a folder; the state carries it.
    Too few tickers: skipped."""
    series, *_ = read_prices([], folder_named(prices), None)
    newest = (
        max(each.sessions[-1].item() for each in series.values()) if prices else clock.now().date()
    )
    pretrained = learn_network(series, form.day_or_none(through) or newest, seeds)
    if isinstance(pretrained, State):
        return Completed(
            name=states.TOO_FEW_TICKERS, message=pretrained.message, data=pretrained.result()
        )
    counts = (
        f"{len(pretrained.tickers)} tickers, {pretrained.sessions:,} sessions, "
        f"{pretrained.origins:,} origins"
    )
    scores = "\n".join(f"- {name}: {value:.4g}" for name, value in pretrained.scores.items())
    text = (
        f"**Through {pretrained.through}**: "
        f"{counts}.\n\n{', '.join(pretrained.tickers)}.\n\n{scores}"
    )
    show_text(
        text, key="pretrained", description="Scores on what it learned from: no evidence of skill"
    )
    return Completed(
        message=(
            f"a pretrained network of {len(pretrained.tickers)} tickers through "
            f"{pretrained.through}"
        ),
        data=pretrained,
    )


@flow(name="tune", flow_run_name="tune {ticker}")
@failing_in_words
def tune(
    ticker: str = Field(description="A symbol whose bars are in the store"),
    trials: Annotated[int, Field(ge=1, le=10_000)] = Field(
        30, description="Trials in total (1 to 10,000); a second run continues from those done"
    ),
    sampler: Sampler = Field(
        "tpe",
        description=(
            "How the next settings are chosen: from earlier trials' results, at random, or all "
            "in turn"
        ),
    ),
    calendar: form.CalendarName = form.CALENDAR,
    settings: form.Changes = Field({}, description="What all trials share"),
) -> State[TuningResult]:
    """Try settings, judge each on the validation part, and write the best as the ticker's settings
    file."""
    ticker, pretrained = validated_ticker(ticker), form.chosen("tutorial", "auto", settings)
    fixed = [*form.dotted(settings)]
    tuned = tune_settings(
        ticker, pretrained, fixed, trials=trials, sampler=sampler, calendar=calendar or None
    )
    show_tuned(tuned)
    get_run_logger().info("settings in %s", tuned.path)
    return Completed(message=tuned.text, data=tuned)


def backtest_name() -> str:
    first, last = (flow_run.parameters.get(name) for name in ("first", "last"))
    return f"backtest {first or 'three years'} to {last or 'the newest'}"


@flow(name="backtest", flow_run_name=backtest_name)
@failing_in_words
def backtest(
    tickers: list[str] = Field(
        [], description="Symbols in the store, or in the folder; empty for all of it"
    ),
    prices: str = Field(
        "", description="A folder of daily price files on this machine; empty for the store"
    ),
    first: form.Day = Field(
        "", description="First night, YYYY-MM-DD; empty for three years before last"
    ),
    last: form.Day = Field(
        "",
        description="Last night, YYYY-MM-DD; empty for the newest whose next 50 sessions are known",
    ),
    every: Annotated[int, Field(ge=1, le=250)] = Field(
        5, description="Sessions from one night to the next (1 to 250)"
    ),
    vintages: str = Field(
        "",
        description="A folder of networks and regressions to use instead of the usual ones",
    ),
    settings: form.Changes = form.SETTINGS,
    calendar: form.CalendarName = form.CALENDAR,
) -> State:
    """Replay past nights, and compare all forecasts by CRPS and by the path's error. The state
    carries the table."""
    symbols = [validated_ticker(ticker) for ticker in tickers]
    series, unreadable, doubts = read_prices(symbols, folder_named(prices), calendar or None)
    newest = max((each.sessions[-1].item() for each in series.values()), default=clock.now().date())
    until = form.day_or_none(last) or newest
    span = Span(form.day_or_none(first) or until - THREE_YEARS, until, every)
    night_settings, folder = form.chosen("nightly", "auto", settings), folder_named(vintages)
    backtests, too_short = backtest_tickers(series, span, night_settings, folder)
    table = backtest_table(backtests, too_short | unreadable, doubts)
    text = "\n".join(markdown(table))
    show_text(escape_markdown(text), key="backtest", description=str(table))
    left_out = f"; {len(table.left_out)} left out" if table.left_out else ""
    return Completed(message=f"{table}{left_out}", data=table)
