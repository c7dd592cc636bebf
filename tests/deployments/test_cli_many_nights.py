"""Nights of many tickers are shown in aligned tables, with the time that is left."""

from stockml.clock import time_left
from stockml.nights.tables import aligned


def test_tables_are_aligned_and_the_time_left_is_worded_as_people_say_it() -> None:
    assert aligned([["policy", "skill"], ["retrain", "+0.5"], ["auto", "-0.25"]], "<>") == [
        "policy   skill", "retrain   +0.5", "auto     -0.25"
    ]  # fmt: skip
    assert [time_left(2, 4, 20.0), time_left(4, 4, 9.0)] == ["about 20 s left", "all done"]
    assert [time_left(1, 31, 10.0), time_left(1, 101, 100.0)] == [
        "about 5 min left",
        "about 2.8 h left",
    ]
