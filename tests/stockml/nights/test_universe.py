"""A night's row says what its record says; many rows stand in a fixed order, in a file named after
the newest; one line says how all ended."""

from dataclasses import replace
from datetime import date

import pytest

from stockml.evaluation.path_scores import LAST_CLOSE, PUBLISHED
from stockml.nights.tables import grouped_line
from stockml.nights.universe import (
    NightRow,
    records,
    table,
    text,
    write_csv,
)
from tests.stockml.nights.test_record import skipped
from tests.support.nights import recorded_night

THURSDAY, FRIDAY = date(2013, 2, 28), date(2013, 3, 1)


def failed(ticker, why):
    return NightRow(ticker, THURSDAY, "failed", "Failed", why=why)


def test_a_row_holds_the_nights_figures_and_a_skill_is_made_of_its_two_errors():
    night = recorded_night(seconds=12.34)
    row, adds, path = NightRow.of_night(night, "Completed"), night.network_adds, night.forecast
    published, naive = night.score(PUBLISHED), night.score(LAST_CLOSE)
    expected = {
        "mse": published.mse,
        "naive_mse": naive.mse,
        "skill": 1 - published.mse / naive.mse,
        "now": path.now,
        "forecast": path.path[-1],
        "change": path.path[-1] / path.now - 1,
        "rise": path.probability_of_rise,
        "rose": published.direction.base_rate,
        "network_adds": adds.skill,
        "noise_p": adds.p_value,
        "crps_skill": night.over_regression.skill,
    }
    assert {name: getattr(row, name) for name in expected} == pytest.approx(expected)
    told = (row.mode, row.why, row.bars_added, row.seconds, row.promoted)
    assert told == (night.mode, night.reason, night.rows_added, 12.3, night.verdict.promoted)


def test_a_skipped_nights_row_says_why_and_claims_nothing():
    row = NightRow.of_night(skipped(), "Skipped: quota")
    why = skipped().reason
    told = ("IBM", THURSDAY, "skipped", "Skipped: quota")
    assert row == NightRow(*told, seconds=row.seconds, why=why)
    assert str(row) == f"IBM: skipped: quota: {why}"


def test_rows_stand_by_ticker_and_session_in_a_file_named_after_the_newest(home):
    days = [("MSFT", THURSDAY), ("IBM", FRIDAY), ("IBM", None), ("IBM", THURSDAY)]
    rows = [NightRow(ticker, day, "completed", "Completed") for ticker, day in days]
    told = [(line["ticker"], line["session"]) for line in records([*rows, failed("Z", "")])]
    of_ibm = [("IBM", None), ("IBM", "2013-02-28"), ("IBM", "2013-03-01")]
    assert told == [("Z", "2013-02-28"), *of_ibm, ("MSFT", "2013-02-28")]
    assert write_csv(home, rows) == home.universe / "2013-03-01.csv"
    assert write_csv(home, rows[2:3]) == home.universe / "none.csv"
    lines = text([failed("Z", ""), replace(rows[2], mode="keep")]).splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [
        ["IBM", "Completed", "keep"],
        ["Z", "2013-02-28", "Failed"],
    ]


def test_a_line_names_twenty_of_a_reason_and_counts_all_that_it_leaves_out():
    told = [(f"T{at}", "x") for at in range(30)] + [(f"U{at}", f"{{y}} {at}") for at in range(30)]
    line = grouped_line(told, "{names}: {why}", others=", elsewhere")
    assert line.startswith("T0, T1, ")
    assert ", T19, …: x; U0: {y} 0; " in line
    assert line.endswith("; U18: {y} 18; and 21 more, elsewhere")


def test_a_reason_in_a_table_is_no_image_that_a_page_would_fetch_no_link_and_no_html():
    [row] = table([failed("T", "found '<img src=//x> ![i](//x) [a](//x)' [1]")])
    assert row["Why"] == "found '< img src=//x> ![i] (//x) [a] (//x)' [1]"
