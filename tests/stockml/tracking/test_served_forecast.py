"""A served model forecasts after the newest of the bars it is given, and refuses bars that no night
would believe.

In another folder, by the code that it was logged with, and by a server: test_served_model.py.
"""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from stockml.errors import TooFewBars
from stockml.evaluation.candidates import Candidate, ScoringData
from stockml.prices.bars import COLUMNS, PRICES
from stockml.prices.calendar import sessions_for
from stockml.tracking.served_forecast import Forecaster, valid_bars
from tests.support.nights import recorded_night, series_until, trained, with_files

DAY = date(2013, 2, 28)
NEW_YORK = sessions_for("IBM")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """IBM's network of that day, as MLflow would load it."""
    folder = tmp_path_factory.mktemp("served")
    night = with_files(recorded_night(), folder)
    return Forecaster.read(Path(night.model_folder), "IBM", None)


def given(sessions=300):
    series = series_until("IBM", DAY)
    prices = {name: getattr(series, name) for name in COLUMNS}
    bars = pd.DataFrame({"session": pd.to_datetime(series.sessions), **prices})
    return bars.tail(sessions).reset_index(drop=True)


def scaled(bars, rows, times):
    """With the prices of these rows so many times as high."""
    other = bars.copy()
    other.iloc[rows, bars.columns.get_indexer([*PRICES])] *= times
    return other


def test_from_all_bars_the_forecast_is_the_nights_in_a_row_per_lead(served):
    model, series = trained("IBM", DAY), series_until("IBM", DAY)
    unseen = ScoringData.of(series, model.parts, model.settings.evaluation, model)
    night = Candidate.of(unseen, model).tonight
    said = served.predict(given(10_000))
    expected = series.close[-1] * np.exp(night[0])
    for name, level in (("low_80", 2), ("high_95", 20)):
        np.testing.assert_allclose(said[name], expected[:, level], rtol=1e-9)
    assert said["lead"].tolist() == list(range(1, 51))
    sessions = said["session"].astype(str).tolist()
    assert (sessions[0], sessions[-1]) == ("2013-03-01", "2013-05-10")
    rising = said[["low_95", "low_80", "low_50", "path", "high_50", "high_80", "high_95"]]
    assert (np.diff(rising, axis=1) > 0).all()
    assert said["probability_of_rise"].between(0, 1, inclusive="neither").all()


def test_a_broken_bar_of_the_past_is_left_out_and_a_newest_one_refused():
    bars = given()
    bars.loc[100, "low"] = 0.0
    assert valid_bars(bars, NEW_YORK).index.equals(pd.DatetimeIndex(bars["session"].drop(100)))
    bars = scaled(bars, 50, 10)  # a misprint of the past is left out beside it
    bars.loc[299, "low"] = 0.0
    with pytest.raises(
        MlflowException, match=r"2013-02-28: expected finite prices above 0.*correct the bar"
    ):
        valid_bars(bars, NEW_YORK)


def test_days_on_which_the_exchange_was_closed_are_left_out():
    bars = given()
    a_sunday = bars.iloc[[-9]].assign(session=pd.Timestamp(2013, 2, 24))
    assert valid_bars(pd.concat([bars, a_sunday]), NEW_YORK).equals(valid_bars(bars, NEW_YORK))


def test_what_an_import_would_refuse_of_a_file_is_refused():
    bars = given()
    another_share, day = bars, pd.Timedelta(days=1)
    for row in range(0, 300, 3):
        another_share = scaled(another_share, row, 1 / 7)
    tenfold = scaled(bars, -100, 10)
    for wrong, said in (
        (
            pd.concat([bars, bars.tail(1)]),
            "expected one bar a session, found another of 2013-02-28",
        ),
        (
            bars.assign(session=bars["session"].astype("int64")),
            "expected each session as a date, or as text such as 2013-02-22, found",
        ),
        (  # as where Tokyo's midnights were written in UTC: its Mondays are Sundays
            bars.assign(session=bars["session"] - day),
            "2013-02-24: expected a session of the calendar XNYS",
        ),
        (
            scaled(bars, slice(-100), 7),
            r"expected prices of one scale, found 210.51 on 2012-10-03, 0\.14.* adjust for splits, or leave out",
        ),
        (
            bars.iloc[::5],
            "expected daily bars, found one every 5 sessions; give those of every session",
        ),
        (another_share, r"2013-.* times the close before, .*; correct the bar or leave it out"),
        (
            tenfold.iloc[:-99],
            r"2012-10-03: .* is 10 times the close before, .*; correct the bar or leave it out",
        ),
    ):
        with pytest.raises(MlflowException, match=said):
            valid_bars(wrong, NEW_YORK)
    left_out = pd.Timestamp("2012-10-03") not in valid_bars(tenfold, NEW_YORK).index
    assert left_out, "as by a night"


def test_what_may_be_a_split_is_warned_of_and_a_change_of_units_divides_the_series(served):
    """A fall to a half may also be a crash; pounds after pence are for a night, too, a new
    series."""
    before = slice(-100)
    told = "look at these prices: the open moved as at a split .* on 2012-10-03"
    with pytest.warns(UserWarning, match=told):
        served.predict(scaled(given(), before, 2))
    pounds = served.predict(scaled(given(), before, 100))
    pd.testing.assert_frame_equal(pounds, served.predict(given(100)))


def test_less_than_a_month_is_too_short(served):
    with pytest.raises(TooFewBars):
        served.predict(given(15))
