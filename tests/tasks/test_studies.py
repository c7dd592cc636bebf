"""Studies outside the nights: which tickers' prices are read, and what is reported meanwhile."""

import logging
import signal
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest
from prefect import flow

from stockml.errors import InvalidFile, NoBars, ProcessKilled, StoreUnreadable
from stockml.evaluation.backtest import Span
from stockml.nights.key_figures import keep_newest
from stockml.prices.store import BarStore
from stockml.settings import Settings
from stockml.training.checkpoint import EpochProgress
from stockml.training.tuning import TrialRecord
from tasks.artifacts import epoch_callback
from tasks.studies import backtest_tickers, read_prices, trial_callback
from tests.flows.test_nightly import pages
from tests.support.nights import recorded_night
from tests.support.recordings import recorded
from tests.support.replaying import fill

pytestmark = pytest.mark.usefixtures("prefect_server")


@flow
def reading(tickers, folder=None, calendar=None):
    return sorted(read_prices(tickers, folder, calendar)[0])


def test_an_unreadable_ticker_is_left_out_with_a_message_but_is_an_error_if_it_was_named(
    home, caplog
):
    fill(home, ["AAPL", "IBM"])
    (damaged := Path(BarStore.of(home).path("IBM"))).write_bytes(b"no Parquet")
    assert reading([]) == ["AAPL"]
    assert f"IBM is left out: {damaged}" in caplog.text
    with pytest.raises(StoreUnreadable):
        reading(["IBM"])


def test_each_unreadable_file_of_a_folder_is_reported_unless_it_is_of_a_ticker_that_was_not_named(
    tmp_path, caplog
):
    rows = "2013-02-28,1,2,1,2,5\n2013-03-01,2,3,2,3,5\n"
    files = dict.fromkeys(("ibm.csv", "abx.us.txt", "abx.csv"), rows)
    files |= dict.fromkeys(("x.csv", "\x1b]0;title\x07/ko.csv"), "2013-03-01,2,NaN,2,3,5")
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"Date,Open,High,Low,Close,Volume\n{content}")
    assert reading(["IBM"], tmp_path) == ["IBM"]
    assert "left out" not in caplog.text
    assert reading(["ABX"], tmp_path) == ["ABX"]
    assert "abx.us.txt is left out: " in caplog.text, "nobody is to guess which of two was taken"
    assert "x.csv is left out: " not in caplog.text
    assert reading([], tmp_path) == ["ABX", "IBM"]
    for name in ("x.csv", r"\x1b]0;title\x07/ko.csv"):
        assert f"{name} is left out: " in caplog.text
    assert "\x1b" not in caplog.text, "a terminal would obey it"
    with pytest.raises(InvalidFile, match=r"a file of X that can be read, found none; .*/x.csv: "):
        reading(["X"], tmp_path)


def test_a_tickers_stored_bars_are_read_by_its_nights_calendar(home):
    """Its only bar is of a day on which London was open and New York, by which its suffix would go,
    was not."""
    day = date(2013, 2, 18)
    bar = recorded("IBM").loc["2013-02-19":"2013-02-19"].set_axis([pd.Timestamp(day)])
    now = datetime(2013, 2, 19, tzinfo=UTC)
    BarStore.of(home, "XLON").append("VOD", bar, recorded_at=now, source="test", session=day)
    with pytest.raises(NoBars, match="no bar of VOD is believed"):
        reading(["VOD"])
    keep_newest(home.nights, replace(recorded_night(), ticker="VOD", calendar="XLON"))
    assert reading(["VOD"]) == reading([]) == ["VOD"]
    with pytest.raises(NoBars, match="no bar of VOD is believed"):
        reading(["VOD"], calendar="XNYS")


@flow
def searching(*seconds):
    on_trial, began = trial_callback("IBM"), datetime(2026, 1, 2, tzinfo=UTC)
    for number, each in enumerate(seconds):
        ended = ("complete", {}, (), 1.0, 1.0, began, each, 1.0)
        on_trial(TrialRecord("IBM", "a study", number, 4, *ended))


def test_a_searchs_remaining_time_is_estimated_from_how_long_its_trials_took(
    home, caplog, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with caplog.at_level(logging.INFO, logger="prefect.flow_runs"):
        searching(50.0, 70.0)
    assert "trial 2 of 4, about 2 min left" in caplog.text


@flow
def training(*rows):
    on_epoch = epoch_callback("PUB", date(2013, 3, 1))
    for row in rows:
        on_epoch(row)


def test_progress_starts_at_half_if_only_the_published_network_is_still_to_be_trained():
    training(EpochProgress("published", 1, 2, 0.1, 0.1, 1e-3, 1.0, 1.0))
    assert pages("training-pub") == ["75"]


class Deadly:
    """A series that kills the process that receives it, as the system does where memory is
    short."""

    def __reduce__(self):
        return signal.raise_signal, (signal.SIGKILL,)


@flow
def backtesting(series):
    backtest_tickers(series, Span(date(2010, 1, 4), date(2010, 6, 30), 5), Settings())


def test_a_backtest_whose_process_is_killed_says_so_and_what_to_do():
    with pytest.raises(
        ProcessKilled, match=r"found one killed, most likely for want of memory; .* fewer tickers"
    ):
        backtesting({"AAPL": Deadly(), "IBM": Deadly()})
