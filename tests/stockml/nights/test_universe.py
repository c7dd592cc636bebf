"""A night's row says what its record says; many rows stand in a fixed order, in a file named after
the newest; one line says how all ended."""

from datetime import date

import pytest

from stockml.evaluation.live_gain import LiveGain
from stockml.evaluation.path_scores import LAST_CLOSE, PUBLISHED
from stockml.forecasts.proper_scores import DieboldMariano
from stockml.home import HomePaths
from stockml.nights.tables import grouped_line
from stockml.nights.universe import (
    NightRow,
    _worded,
    ending,
    live_verdict,
    records,
    table,
    write_csv,
)
from tests.stockml.nights.test_record import skipped
from tests.support.nights import recorded_night
from tests.support.publishing import FRIDAY as PUBLISHED_ON
from tests.support.publishing import publish, record
from tests.support.recordings import recorded

THURSDAY, FRIDAY = date(2013, 2, 28), date(2013, 3, 1)


def failed(ticker: str, why: str) -> NightRow:
    return NightRow(ticker, THURSDAY, "failed", "Failed", why=why)


def test_a_row_holds_the_nights_figures_and_a_skill_is_made_of_its_two_errors() -> None:
    night = recorded_night(seconds=12.34)
    row, adds, path = NightRow.of_night(night, "Completed"), night.network_adds, night.forecast
    published, naive = night.score(PUBLISHED), night.score(LAST_CLOSE)
    assert path
    assert adds
    assert published
    assert naive
    assert row.skill == pytest.approx(1 - row.mse / row.naive_mse)
    found = (row.mse, row.naive_mse, row.now, row.forecast, row.change, row.rise, row.rose)
    expected = (published.mse, naive.mse, path.now, path.path[-1], path.path[-1] / path.now - 1)
    expected += (path.probability_of_rise, published.direction.base_rate)
    assert found == pytest.approx(expected)
    gains = (row.network_adds, row.noise_p, row.crps_skill)
    assert gains == pytest.approx((adds.skill, adds.p_value, night.over_regression.skill))
    assert (row.mode, row.why, row.bars_added, row.seconds, row.promoted) == (
        *(night.mode, night.reason, night.rows_added, 12.3, night.verdict.promoted),
    )


def test_a_skipped_nights_row_says_why_and_claims_nothing() -> None:
    row = NightRow.of_night(skipped(), "Skipped: quota")
    why = skipped().reason
    assert row == NightRow(
        "IBM", THURSDAY, "skipped", "Skipped: quota", seconds=row.seconds, why=why
    )
    assert str(row) == f"IBM: skipped: quota: {why}"


def test_rows_stand_by_ticker_and_session_in_a_file_named_after_the_newest(home: HomePaths) -> None:
    days = [("MSFT", THURSDAY), ("IBM", FRIDAY), ("IBM", None), ("IBM", THURSDAY)]
    rows = [NightRow(ticker, day, "completed", "Completed") for ticker, day in days]
    told = [(line["ticker"], line["session"]) for line in records([*rows, failed("Z", "")])]
    of_ibm = [("IBM", None), ("IBM", "2013-02-28"), ("IBM", "2013-03-01")]
    assert told == [("Z", "2013-02-28"), *of_ibm, ("MSFT", "2013-02-28")]
    assert write_csv(home, rows) == home.universe / "2013-03-01.csv"
    assert write_csv(home, rows[2:3]) == home.universe / "none.csv"


def test_a_line_names_twenty_of_a_reason_and_counts_all_that_it_leaves_out() -> None:
    told = [(f"T{at}", "x") for at in range(30)] + [(f"U{at}", f"{{y}} {at}") for at in range(30)]
    line = grouped_line(told, "{names}: {why}", others=", elsewhere")
    assert line.startswith("T0, T1, ")
    assert ", T19, …: x; U0: {y} 0; " in line
    assert line.endswith("; U18: {y} 18; and 21 more, elsewhere")


def test_a_run_in_which_forty_tickers_failed_alike_says_why_the_forty_first_did() -> None:
    rows = [failed(f"T{at}", "unknown symbol") for at in range(40)]
    state, message = ending([*rows, failed("X", "the disk is full")], "all fail")
    assert (state, message.count("unknown symbol")) == ("Failed", 1)
    assert message.endswith("; X 2013-02-28: the disk is full; and 20 more")


def test_a_reason_in_a_table_is_no_image_that_a_page_would_fetch_no_link_and_no_html() -> None:
    [row] = table([failed("T", "found '<img src=//x> ![i](//x) [a](//x)' [1]")])
    assert row["Why"] == "found '< img src=//x> ![i] (//x) [a] (//x)' [1]"


def test_without_a_networks_forecast_that_came_due_there_is_no_live_verdict(
    home: HomePaths,
) -> None:
    record(home, recorded("IBM").tail(300), date(2013, 3, 2))
    publish(home, PUBLISHED_ON)  # of mid prices
    assert "no network's forecast has come due" in live_verdict(home, ["IBM", "KO"])


def test_each_lead_has_its_live_gain_its_p_value_and_the_backtests() -> None:
    tested = LiveGain(1, 3, 300, 0.0123, DieboldMariano(-2.0, 0.04, 0.98))
    said = _worded([tested, LiveGain(20, 1, 12, -0.001, None)], {1: 0.004})
    assert "after 1 session +1.2% (p 0.04; 300 forecasts of 3 shares, +0.4% in backtests)" in said
    assert "after 20 sessions -0.1% (too few months to test; 12 forecasts of 1 share)" in said
