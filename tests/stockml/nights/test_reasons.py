"""What many tickers failed for is said once for all of them, and hides no other reason."""

from datetime import date

from stockml.nights.tables import by_reason, grouped_line
from stockml.nights.universe import NightRow, ending, table

DAY = date(2013, 2, 28)


def test_names_stand_under_their_reason_in_the_order_in_which_they_come() -> None:
    assert by_reason([("B", "x"), ("A", "y"), ("C", "x")]) == {"x": ["B", "C"], "y": ["A"]}


def test_a_line_names_twenty_of_a_reason_and_counts_all_that_it_leaves_out() -> None:
    told = [(f"T{at}", "x") for at in range(30)] + [(f"U{at}", f"{{y}} {at}") for at in range(30)]
    line = grouped_line(told, "{names}: {why}", others=", elsewhere")
    assert line.startswith("T0, T1, ")
    assert ", T19, …: x; U0: {y} 0; " in line
    assert line.endswith("; U18: {y} 18; and 21 more, elsewhere")
    assert grouped_line([], "{names}: {why}") == ""


def test_a_run_in_which_forty_tickers_failed_alike_says_why_the_forty_first_did() -> None:
    refused = [
        NightRow(f"T{at}", DAY, "failed", "Failed", why="unknown symbol") for at in range(40)
    ]
    _, message = ending(
        [*refused, NightRow("X", DAY, "failed", "Failed", why="the disk is full")], "all fail"
    )
    assert message.startswith("41 failed. Failed: T0 2013-02-28, T1 2013-02-28, ")
    assert message.count("unknown symbol") == 1
    assert message.endswith(
        "T19 2013-02-28, …: unknown symbol; X 2013-02-28: the disk is full; and 20 more"
    )


def test_a_reason_in_a_table_is_no_image_that_a_page_would_fetch_no_link_and_no_html() -> None:
    [row] = table(
        [NightRow("T", DAY, "failed", "Failed", why="found '<img src=//x> ![i](//x) [a](//x)' [1]")]
    )
    assert row["Why"] == "found '< img src=//x> ![i] (//x) [a] (//x)' [1]"
