"""Backtesting tickers, a few at once in processes of their own; what came of each is a value, not a file."""

import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from stockml.errors import NoBars, StockmlError
from stockml.evaluation.backtest import Span, TickerBacktest, backtest
from stockml.home import home
from stockml.models.pooled_vintages import SHIPPED
from stockml.prices.price_folder import read_folder
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore, bar_store
from stockml.settings import Settings
from tasks.artifacts import time_left


@task(name="read prices", cache_policy=NO_CACHE)
def read_prices(tickers: list[str], folder: Path | None, calendar: str | None) -> dict[str, PriceSeries]:
    """The series of a folder's price files or, without one, of the store: of the tickers named, or of all.

    Raises NoBars.
    """
    if folder is None:
        place = home()
        named = tickers or BarStore(place.store, place.locks).tickers()
        if not named:
            raise NoBars("any ticker", f"the store of {place.root} is empty")
        return {ticker: PriceSeries.from_bars(bar_store(place, ticker, calendar).adjusted(ticker)) for ticker in named}
    found, _ = read_folder(folder)
    if missing := [ticker for ticker in tickers if ticker not in found]:
        raise NoBars(missing[0], f"{folder} has no file of it")
    return {ticker: found[ticker] for ticker in tickers or found}


@task(name="backtest", cache_policy=NO_CACHE)
def backtest_tickers(
    series: Mapping[str, PriceSeries],
    span: Span,
    settings: Settings,
    vintages: Path | None = None,
) -> tuple[list[TickerBacktest], dict[str, str]]:
    """Every ticker's, and those left out with the reason; as many at once as there are cores.

    vintages: the folder whose regressions and bases are used; None for the home's and the shipped ones.
    """
    folders = (vintages,) if vintages else (home().bases, SHIPPED)
    began, found, left_out = time.monotonic(), {}, {}
    for done, (ticker, came) in enumerate(_each(series, span, settings, folders), start=1):
        if isinstance(came, StockmlError):
            left_out[ticker] = str(came)
        else:
            found[ticker] = came
        left = time_left(done, len(series), time.monotonic() - began)
        get_run_logger().info("%d of %d, %s: %s", done, len(series), left, ticker)
    return [found[ticker] for ticker in sorted(found)], left_out


def _each(
    series: Mapping[str, PriceSeries], span: Span, settings: Settings, folders: tuple[Path, ...]
) -> Iterator[tuple[str, TickerBacktest | StockmlError]]:
    workers = min(len(series), os.cpu_count() or 1)
    if workers < 2:
        for ticker, bars in series.items():
            yield ticker, _one(ticker, bars, span, settings, folders)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(_one, ticker, bars, span, settings, folders): ticker for ticker, bars in series.items()}
        for each in as_completed(waiting):
            yield waiting[each], each.result()


def _one(
    ticker: str, series: PriceSeries, span: Span, settings: Settings, folders: tuple[Path, ...]
) -> TickerBacktest | StockmlError:
    try:
        return backtest(ticker, series, span, settings, folders)
    except StockmlError as refusal:
        return refusal
