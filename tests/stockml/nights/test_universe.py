"""A night's row says what its record says; many rows stand in a fixed order, in a file named after
the newest."""

from datetime import date

import pytest

from stockml.evaluation.path_scores import LAST_CLOSE, PUBLISHED
from stockml.home import HomePaths
from stockml.nights.universe import NightRow, records, write_csv
from tests.stockml.nights.test_record import skipped
from tests.support.nights import recorded_night

THURSDAY, FRIDAY = date(2013, 2, 28), date(2013, 3, 1)


def test_a_row_holds_the_nights_figures_and_a_skill_is_made_of_its_two_errors() -> None:
    night = recorded_night(seconds=12.34)
    row, adds, path = NightRow.of_night(night, "Completed"), night.network_adds, night.forecast
    published, naive = night.score(PUBLISHED), night.score(LAST_CLOSE)
    assert (row.mse, row.naive_mse) == (pytest.approx(published.mse), pytest.approx(naive.mse))
    assert row.skill == pytest.approx(1 - published.mse / naive.mse)
    assert (row.now, row.forecast) == (pytest.approx(path.now), pytest.approx(path.path[-1]))
    assert row.change == pytest.approx(path.path[-1] / path.now - 1)
    assert (row.rise, row.rose) == pytest.approx(
        (path.probability_of_rise, published.direction.base_rate)
    )
    assert (row.network_adds, row.noise_p) == pytest.approx((adds.skill, adds.p_value))
    assert (row.crps_skill, row.promoted) == (
        pytest.approx(night.over_regression.skill),
        night.verdict.promoted,
    )
    assert (row.mode, row.why, row.bars_added, row.seconds) == (
        night.mode,
        night.reason,
        night.rows_added,
        12.3,
    )


def test_a_skipped_nights_row_says_why_and_claims_nothing() -> None:
    row = NightRow.of_night(skipped(), "Skipped: quota")
    assert row == NightRow(
        "IBM", THURSDAY, "skipped", "Skipped: quota", seconds=row.seconds, why=skipped().reason
    )
    assert str(row) == f"IBM: skipped: quota: {row.why}"
    assert str(NightRow("IBM", THURSDAY, "completed", "Completed")) == "IBM: completed", (
        "nothing to say"
    )


def test_rows_stand_by_ticker_and_session_in_a_file_named_after_the_newest(home: HomePaths) -> None:
    days = [("MSFT", THURSDAY), ("IBM", FRIDAY), ("IBM", None), ("IBM", THURSDAY)]
    rows = [NightRow(ticker, day, "completed", "Completed") for ticker, day in days]
    told = [(line["ticker"], line["session"]) for line in records(rows)]
    assert told == [
        ("IBM", None),
        ("IBM", "2013-02-28"),
        ("IBM", "2013-03-01"),
        ("MSFT", "2013-02-28"),
    ]
    assert write_csv(home, rows) == home.universe / "2013-03-01.csv"
    assert write_csv(home, rows[2:3]) == home.universe / "none.csv"
