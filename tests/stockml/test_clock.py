"""A replay's clock stands at the moment that it names; otherwise it is now."""

from datetime import UTC, datetime

import pytest

from stockml import clock
from stockml.errors import InvalidSetting


def test_a_replays_clock_stands_at_the_moment_it_names() -> None:
    assert clock.now({"STOCKML_CLOCK": "2013-03-01T23:00:00-05:00"}) == datetime(
        2013, 3, 2, 4, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("environ", "waits"), [({"STOCKML_CLOCK": "2013-03-01T23:00:00-05:00"}, False), ({}, True)]
)
def test_only_a_replay_skips_waiting(environ: dict[str, str], waits: bool) -> None:
    waited: list[float] = []
    clock.wait(1_800.0, environ, sleep=waited.append)
    assert waited == ([1_800.0] if waits else [])


@pytest.mark.parametrize(
    "named",
    [
        "yesterday",
        "2013-03-01T23:00:00",
        "1900-01-01T00:00+14:00",
        "2200-12-31T23:59-12:00",
    ],
)
def test_a_moment_without_an_offset_or_outside_1900_to_2200_is_refused(named: str) -> None:
    with pytest.raises(InvalidSetting, match="UTC offset"):
        clock.now({"STOCKML_CLOCK": named})
