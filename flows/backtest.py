"""Past nights of one or many tickers as they would have been published: what was the network worth?"""

from datetime import date
from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger
from pydantic import Field

from flows.form import NO_CHANGES, CalendarName, Changes, TickerName, chosen
from stockml.evaluation.backtest import Span
from stockml.evaluation.backtest_table import BacktestTable, backtest_table, markdown
from stockml.tickers import validated_ticker
from tasks.backtest import backtest_tickers, read_prices

Every = Annotated[int, Field(ge=1, le=250)]


@flow(name="backtest", flow_run_name="backtest {first} to {last}")
def backtest(
    tickers: list[TickerName] = Field(
        ["IBM"], description="Symbols in the store, or in the folder; empty for all of it"
    ),
    prices: str = Field("", description="A folder of daily price files on this machine; empty for the store"),
    first: date = Field(date(2009, 9, 30), description="The first past night"),
    last: date = Field(date(2012, 12, 31), description="The last; it counts if its 50 sessions have come"),
    every: Every = Field(5, description="Sessions from one night to the next (1 to 250)"),
    vintages: str = Field("", description="A folder of bases and regressions to use alone; empty for the usual ones"),
    settings: Changes = Field(NO_CHANGES, description="What to change in the profile; empty fields keep its values"),
    calendar: CalendarName = Field("", description="Exchange calendar such as XNYS; empty goes by the suffix"),
) -> BacktestTable:
    """Replay the nights, and show every forecast beside the others, by CRPS and by the path's error."""
    logger, named = get_run_logger(), [validated_ticker(ticker) for ticker in tickers]
    series = read_prices(named, Path(prices) if prices else None, calendar or None)
    span, folder = Span(first, last, every), Path(vintages) if vintages else None
    found, left_out = backtest_tickers(series, span, chosen("nightly", "auto", settings), folder)
    table = backtest_table(found, left_out)
    text = "\n".join(markdown(table))
    create_markdown_artifact(text, key="backtest", description=f"{table.tickers} tickers, {first} to {last}")
    logger.info("\n%s", text)
    return table
