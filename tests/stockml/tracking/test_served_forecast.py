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
def served(tmp_path_factory: pytest.TempPathFactory) -> Forecaster:
    """IBM's network of that day, as MLflow would load it."""
    folder = tmp_path_factory.mktemp("served")
    night = with_files(recorded_night(), folder)
    return Forecaster.read(Path(night.model_folder or ""), "IBM", None)


def given(sessions: int = 300) -> pd.DataFrame:
    series = series_until("IBM", DAY)
    bars = {
        "session": pd.to_datetime(series.sessions),
        **{name: getattr(series, name) for name in COLUMNS},
    }
    return pd.DataFrame(bars).tail(sessions)


def test_one_row_per_lead_has_its_session_its_path_and_bands_around_it(served: Forecaster) -> None:
    said = served.predict(given())
    assert said["lead"].tolist() == list(range(1, 51))
    assert [said["session"].iloc[at].date() for at in (0, -1)] == [
        date(2013, 3, 1),
        date(2013, 5, 10),
    ]
    rising = said[
        ["low_95", "low_80", "low_50", "path", "high_50", "high_80", "high_95"]
    ].to_numpy()
    assert (np.diff(rising, axis=1) > 0).all()
    assert said["probability_of_rise"].between(0, 1, inclusive="neither").all()


def test_from_all_bars_the_forecast_is_the_nights(served: Forecaster) -> None:
    model, series = trained("IBM", DAY), series_until("IBM", DAY)
    night = Candidate.of(
        ScoringData.of(series, model.parts, model.settings.evaluation, model), model
    ).tonight
    said = served.predict(given(10_000))
    expected = series.close[-1] * np.exp(night[0])
    np.testing.assert_allclose(said["low_80"], expected[:, 2], rtol=1e-9)
    np.testing.assert_allclose(said["high_95"], expected[:, 20], rtol=1e-9)


def test_a_broken_bar_of_the_past_is_left_out_and_a_newest_one_refused() -> None:
    bars = given()
    names = [*bars.columns].index("low")
    for at in (100, -1):
        other = bars.copy()
        other.iloc[at, names] = 0.0
        if at == -1:
            other.iloc[50, other.columns.get_indexer([*PRICES])] *= (
                10  # a misprint of the past is left out beside it
            )
            with pytest.raises(
                MlflowException,
                match=r"2013-02-28: expected finite prices above 0.*correct the bar",
            ):
                valid_bars(other, NEW_YORK)
        else:
            assert valid_bars(other, NEW_YORK).index.tolist() == [
                day for n, day in enumerate(bars["session"]) if n != at
            ]


def test_two_bars_of_a_session_and_what_is_no_date_are_refused() -> None:
    bars = given()
    with pytest.raises(
        MlflowException, match="expected one bar a session, found another of 2013-02-28"
    ):
        valid_bars(pd.concat([bars, bars.tail(1)]), NEW_YORK)
    with pytest.raises(
        MlflowException,
        match="expected each session as a date, or as text such as 2013-02-22, found",
    ):
        valid_bars(bars.assign(session=bars["session"].astype("int64")), NEW_YORK)


def test_days_on_which_the_exchange_was_closed_are_left_out_and_many_refused() -> None:
    """As where Tokyo's midnights were written in UTC: its Mondays are Sundays."""
    bars = given()
    a_sunday = bars.iloc[[-9]].assign(session=pd.Timestamp(2013, 2, 24))
    assert valid_bars(pd.concat([bars, a_sunday]), NEW_YORK).equals(valid_bars(bars, NEW_YORK))
    with pytest.raises(
        MlflowException, match=r"2013-02-24: expected a session of the calendar XNYS"
    ):
        valid_bars(bars.assign(session=bars["session"] - pd.Timedelta(days=1)), NEW_YORK)


def test_what_an_import_would_refuse_of_a_file_is_refused() -> None:
    """A split of seven to one that was not applied, weeks, a misprint, another share's bars among
    these."""
    bars, prices = given(), [*PRICES]
    unsplit, other, tenfold = bars.copy(), bars.copy(), bars.copy()
    unsplit.iloc[:-100, bars.columns.get_indexer(prices)] *= 7
    other.iloc[::3, bars.columns.get_indexer(prices)] /= 7
    tenfold.iloc[-100, bars.columns.get_indexer(prices)] *= 10
    for wrong, said in (
        (
            unsplit,
            r"expected prices of one scale, found 210.51 on 2012-10-03, 0\.14.* adjust for splits, or leave out",
        ),
        (
            bars.iloc[::5],
            "expected daily bars, found one every 5 sessions; give those of every session",
        ),
        (other, r"2013-.* times the close before, .*; correct the bar or leave it out"),
        (
            tenfold.iloc[:-99],
            r"2012-10-03: .* is 10 times the close before, .*; correct the bar or leave it out",
        ),
    ):
        with pytest.raises(MlflowException, match=said):
            valid_bars(wrong, NEW_YORK)
    assert pd.Timestamp("2012-10-03") not in valid_bars(tenfold, NEW_YORK).index, (
        "left out, as by a night"
    )


def test_what_may_be_a_split_is_warned_of_and_a_change_of_units_divides_the_series(
    served: Forecaster,
) -> None:
    """A fall to a half may also be a crash; pounds after pence are for a night, too, a new
    series."""
    halved, pounds = given(), given()
    for bars, times in ((halved, 2), (pounds, 100)):
        bars.iloc[:-100, bars.columns.get_indexer([*PRICES])] *= times
    with pytest.warns(
        UserWarning, match="look at these prices: the open moved as at a split .* on 2012-10-03"
    ):
        served.predict(halved)
    pd.testing.assert_frame_equal(served.predict(pounds), served.predict(given(100)))


def test_less_than_a_month_is_too_short(served: Forecaster) -> None:
    with pytest.raises(TooFewBars):
        served.predict(given(15))
