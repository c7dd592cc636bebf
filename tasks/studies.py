"""What is learned and measured outside the nights: pretrained networks, settings, past nights.
TensorFlow is loaded where used."""

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.states import Completed, State

from stockml import clock
from stockml.errors import (
    InvalidFile,
    NoBars,
    ProcessKilled,
    StockmlError,
    TooFewTickers,
    TrackingUnavailable,
)
from stockml.evaluation.backtest import Span, TickerBacktest, outcome_of_backtest
from stockml.evaluation.pretrain import pretrain_network
from stockml.home import current_home
from stockml.models.pretrained_network import PretrainedNetwork
from stockml.models.tutorial_recipe import train_length
from stockml.models.vintage_store import SHIPPED
from stockml.nights import states
from stockml.nights.key_figures import store_of
from stockml.prices.csv_import import read_folder
from stockml.prices.screening import suspicions
from stockml.prices.series import PriceSeries
from stockml.prices.store import BarStore
from stockml.redaction import one_line
from stockml.settings import Sampler, Settings
from stockml.tickers import as_key
from stockml.tracking.client import Tracking
from stockml.tracking.study_runs import log_pretrained, log_trial
from stockml.training.pretrain import PretrainProgress
from stockml.training.train import training_part
from stockml.training.tuning import Search, TrialRecord, TuningResult, space_beside, tune
from tasks.artifacts import ProgressBar, show_text
from tasks.process_pool import process_pool

BAR_LENGTH = 24  # characters


def folder_named(name: str) -> Path | None:
    """The folder in a form's field, ~ being the worker's home; None if empty. Raises
    InvalidFile."""
    if not name:
        return None
    if not (folder := Path(name).expanduser()).is_dir():
        raise InvalidFile(name, "expected a folder on the worker's machine, found none")
    return folder


@task(name="read prices", task_run_name="read prices", cache_policy=NO_CACHE)
def read_prices(
    tickers: list[str], folder: Path | None, calendar: str | None
) -> tuple[dict[str, PriceSeries], dict[str, str], dict[str, str]]:
    """The series of a folder's price files or, without a folder, of the store; why others are left
    out; and doubts about prices that are used.

    Without tickers, all that can be read. Raises NoBars, InvalidFile, StoreError, HistoryError.
    """
    left_out: dict[str, str] = {}
    if folder is None:
        home = current_home()
        symbols = tickers or BarStore.of(home).tickers()
        if not symbols:
            raise NoBars("any ticker", f"the store of {home.root} is empty")
        series, doubts = dict[str, PriceSeries](), dict[str, str]()
        for ticker in symbols:
            try:
                adjusted = store_of(home, ticker, calendar).view(ticker)
                series[ticker] = PriceSeries.from_bars(adjusted.bars)
                doubts[ticker] = suspicions(adjusted.bars, len(adjusted.set_aside))
            except StockmlError as error:
                if tickers:
                    raise
                left_out[ticker] = str(error)
                get_run_logger().warning("%s is left out: %s", ticker, error)
        return series, left_out, _logged(series, doubts)
    by_ticker, refusals, doubts = read_folder(folder, calendar, tickers)
    for path, refusal in refusals.items():
        why = one_line(str(refusal).removeprefix(f"{folder / path}: "))
        left_out[name := one_line(path)] = why
        get_run_logger().warning("%s is left out: %s", name, why)
    if missing := [ticker for ticker in tickers if ticker not in by_ticker]:
        why = "".join(f"; {refusal}" for refusal in refusals.values())
        raise InvalidFile(
            str(folder), f"expected a file of {missing[0]} that can be read, found none{why}"
        )
    if not by_ticker:
        raise InvalidFile(
            str(folder),
            "expected daily price files such as ibm.us.txt, found none that can be read",
        )
    series = {ticker: by_ticker[ticker] for ticker in tickers or by_ticker}
    return series, left_out, _logged(series, doubts)


def _logged(series: Mapping[str, PriceSeries], doubts: Mapping[str, str]) -> dict[str, str]:
    """The doubts that are not empty, each logged; one more where another ticker has the same
    prices."""
    present, owners = dict[str, str](), dict[int, str]()
    for ticker, each in series.items():
        owner = owners.setdefault(hash(each.sessions.tobytes() + each.close.tobytes()), ticker)
        twice = f"they are those of {owner}, which so counts twice" if owner != ticker else ""
        if doubt := "; ".join(filter(None, (doubts[ticker], twice))):
            present[ticker] = doubt
            get_run_logger().warning("%s is used, but look at its prices: %s", ticker, doubt)
    return present


@task(name="backtest", task_run_name="backtest", cache_policy=NO_CACHE)
def backtest_tickers(
    series: Mapping[str, PriceSeries], span: Span, settings: Settings, vintages: Path | None = None
) -> tuple[list[TickerBacktest], dict[str, str]]:
    """Each ticker's backtest, and why others are left out. Raises ProcessKilled.

    vintages: None for the home's and the shipped.
    """
    folders = (vintages,) if vintages else (current_home().pretrained, SHIPPED)
    began, backtests, left_out = time.monotonic(), {}, {}
    run_backtest = partial(outcome_of_backtest, span=span, settings=settings, folders=folders)
    workers = min(len(series), os.cpu_count() or 1)
    try:
        with process_pool(workers) if workers > 1 else nullcontext() as pool:
            results = (pool.map if pool else map)(run_backtest, series, series.values())
            for done, (ticker, result) in enumerate(zip(series, results, strict=True), start=1):
                if isinstance(result, StockmlError):
                    left_out[ticker] = str(result)
                else:
                    backtests[ticker] = result
                left = clock.time_left(done, len(series), time.monotonic() - began)
                get_run_logger().info("%d of %d, %s: %s", done, len(series), left, ticker)
    except BrokenProcessPool as killed:
        raise ProcessKilled(workers) from killed
    return [backtests[ticker] for ticker in sorted(backtests)], left_out


@task(name="pretrain", task_run_name="pretrain", cache_policy=NO_CACHE)
def learn_network(
    series: Mapping[str, PriceSeries], until: date, seeds: int
) -> PretrainedNetwork | State:
    """Train, write and log one vintage, resuming an interrupted one; for too few tickers a state,
    no failure."""
    bar, logger, rows = (
        ProgressBar("pretraining", "the pretrained network"),
        get_run_logger(),
        list[PretrainProgress](),
    )

    def on_epoch(row: PretrainProgress) -> None:
        rows.append(row)
        progress = f"{row.member}: epoch {row.epoch} of {row.epochs}, loss {row.loss:.5f}"
        logger.info("%s (%.0f s, about %.0f s left)", progress, row.seconds, row.seconds_left)
        spent = sum(each.seconds for each in rows)
        bar.move(100 * spent / max(spent + row.seconds_left, 1e-9))

    try:
        pretrained, path = pretrain_network(
            current_home(), series, until, seeds=seeds, on_epoch=on_epoch
        )
    except TooFewTickers as few:
        return Completed(name=states.TOO_FEW_TICKERS, message=str(few), data=few)
    try:
        version = log_pretrained(
            Tracking(current_home()), pretrained, path, rows, now=datetime.now(UTC)
        )
        logger.info("lstm-pretrained version %s: %s", version, path)
    except TrackingUnavailable as error:
        logger.warning(
            "%s; the pretrained network in %s is used all the same, and the same run again logs it",
            error,
            path,
        )
    return pretrained


@task(name="tune", task_run_name="tune {ticker}", cache_policy=NO_CACHE)
def tune_settings(
    ticker: str,
    settings: Settings,
    fixed: list[str],
    *,
    trials: int,
    sampler: Sampler,
    calendar: str | None,
) -> TuningResult:
    """Search all but the fixed on the stored series; the study resumes by itself, so the task needs
    no cache."""
    series = PriceSeries.from_bars(store_of(current_home(), ticker, calendar).adjusted(ticker))
    training_series = training_part(series, settings, train_length)
    search = Search(ticker, training_series, settings, sampler, space_beside(fixed))
    return tune(current_home(), search, trials=trials, on_trial=trial_callback(ticker))


def trial_callback(ticker: str) -> Callable[[TrialRecord], None]:
    """A callback for each trial: a log line, an MLflow run and a step of the progress bar."""
    bar, logger = ProgressBar(f"tuning-{as_key(ticker)}", f"tuning {ticker}"), get_run_logger()
    seconds: list[float] = []

    def on_trial(trial: TrialRecord) -> None:
        seconds.append(trial.seconds)
        best = "" if trial.best is None else f", best {trial.best:.5f}"
        loss = trial.state if trial.loss is None else f"{trial.loss:.5f}"
        fraction, left = (
            min(1.0, len(seconds) / trial.of),
            clock.time_left(len(seconds), trial.of, sum(seconds)),
        )
        drawn_bar = f"{'█' * round(BAR_LENGTH * fraction):░<{BAR_LENGTH}}"
        logger.info(
            "%s trial %d of %d, %s: %s%s", drawn_bar, len(seconds), trial.of, left, loss, best
        )
        bar.move(100 * fraction)
        try:
            log_trial(Tracking(current_home()), trial)
        except TrackingUnavailable as error:
            logger.warning("the next run of this search logs the trial: %s", error)

    return on_trial


def show_tuned(tuned: TuningResult) -> None:
    rows = "\n".join(f"| {name} | {value} |" for name, value in tuned.as_options().items())
    text = (
        f"{tuned.text}. The test part was not looked at.\n\n| setting | value |\n| --- | "
        f"--- |\n{rows}"
    )
    show_text(
        text,
        key=f"tuned-{as_key(tuned.ticker)}",
        description=f"The best settings found for {tuned.ticker}",
    )
