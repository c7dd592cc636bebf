"""The benchmark runs and reports its figures, whatever the speed; in a year of a faulty feed, bars
equal a clean feed's, or the night says why."""

import json
import os
import subprocess
import sys

import pytest

from stockml.forecasts.ledger import Ledger
from tests.bench import report, year
from tests.bench.measuring import Measured
from tests.bench.year import differing, play

pytestmark = pytest.mark.campaign


def test_chosen_parts_run_and_their_figures_are_kept_with_the_machines_description(tmp_path):
    command = [sys.executable, "-m", "tests.bench", "--fast", "--only=append", "--only=read"]
    environment = os.environ | {"STOCKML_HOME": str(tmp_path)}
    subprocess.run(command, env=environment, capture_output=True, check=True)
    (kept,) = tmp_path.glob("bench/*")
    found = json.loads(kept.read_text())
    assert [row["figure"] for row in found["figures"]] == ["append", "read"]
    for row in found["figures"]:
        assert min(row["values"]) <= row["median"] <= max(row["values"])
        assert 0 < row["peak_bytes"] < 2e9
    assert {"CPU", "cores", "memory", "Python", "numpy", "tensorflow"} <= set(found["machine"])


@pytest.mark.parametrize(("seconds", "verdict"), [(0.024, "reached"), (0.026, "missed")])
def test_a_figure_is_judged_against_its_target_by_its_median(seconds, verdict):
    measured = Measured("append", (seconds, 9.0, 0.001), peak_bytes=150_000_000, first=0.2)
    row = report.cells(measured)
    assert row[-1] == verdict
    assert row[1:6] == ("≤ 25 ms", f"{seconds * 1e3:.0f} ms", "1–9000", "3", "200 ms")
    assert row[6] == "0.15 GB"


def test_after_faulty_nights_bars_and_forecasts_equal_a_clean_feeds_but_for_known_days(home):
    """Plays one cycle; the whole year, seven cycles, is a benchmark: `python -m
    tests.bench.year`."""
    played = play(home, year.CYCLE)
    day = played.day
    bars, forecasts = differing(played)
    assert bars == {day(year.DOWN_AND_BACK)}, "set aside, and never restated"
    while_late = {day(year.LATE + nights) for nights in (1, 2, 3)}
    assert forecasts == {*while_late, day(year.DOWN_AND_BACK), day(year.RESTATED)}, (
        "nights on which other bars were known"
    )
    published = [entry.forecast.origin for entry in Ledger(home.ledger).entries("IBM")]
    silent = {year.LOST, year.LATE, year.TENFOLD, year.QUOTA, year.NO_DATA, *year.OUTAGE}
    assert published == [day(night) for night in range(year.CYCLE) if night not in silent]
    check_named(played)


def check_named(played):
    """Check that each fault is named on its night."""
    day, said = played.day, {key: "\n".join(lines) for key, lines in played.said.items()}
    assert f"the bar of {day(year.LOST)} is late" in said["IBM", day(year.LOST)]
    assert f"no bar of {day(year.LOST)}" in said["IBM", day(year.CYCLE - 1)]
    assert str(day(year.LATE)) in said["IBM", day(year.LATE + 1)]
    assert str(day(year.LATE)) not in said["IBM", day(year.LATE + 6)]
    assert "times the close before" in said["IBM", day(year.TENFOLD)]
    assert str(day(year.TENFOLD)) not in said["IBM", day(year.TENFOLD + 2)]
    for night in (year.TENFOLD, year.RESTATED):
        assert f"the close of {day(night)} was restated from" in said["IBM", day(night + 1)]
    assert f"{day(year.DOWN_AND_BACK)}: close" in said["IBM", day(year.DOWN_AND_BACK + 1)]
    assert "imported history disagrees" in said["IBM", day(6)]
    assert "today's requests are used up" in said["IBM", day(year.QUOTA)]
    assert "HTTP 503" in said["IBM", day(year.NO_DATA)]
    assert "unknown symbol?" in said["OLD", day(year.RENAME)]
    assert said["NEW", day(year.RENAMED_BY_HAND)] == ""
    assert "it is delisted" in said["AAPL", day(year.OTHERS[-1])]
    assert played.requests["AAPL"] == year.DELISTED - year.OTHERS[0] + 5 + 1, (
        "five stale nights and the listing"
    )
    origins = [entry.forecast.origin for entry in Ledger(played.home.ledger).entries("NEW")]
    asked = [night for night in year.OTHERS if not year.RENAME <= night < year.RENAMED_BY_HAND]
    assert origins == [day(night) for night in asked]
