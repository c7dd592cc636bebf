"""What a night's record says of its data and of its live forecasts, and what a killed night left
undone."""

from datetime import date

import pytest

from stockml.evaluation.promotion_gate import Verdict
from stockml.models.registry import Registry
from stockml.nights.key_figures import keep_newest
from stockml.nights.record import night_path, write_night
from stockml.prices.series import PriceSeries
from stockml.storage.files import sha256_of
from stockml.tracking.night_log import live_metrics, promote_pending
from tests.support.models import write_model
from tests.support.nights import recorded_night
from tests.support.publishing import FRIDAY, publish, record
from tests.support.recordings import recorded


def test_live_figures_are_told_as_first_known_too_once_a_restated_bar_changes_them(home):
    bars = recorded("IBM").tail(300)
    record(home, bars, date(2013, 3, 2))
    publish(home, FRIDAY)
    series = PriceSeries.from_bars(bars)
    before = live_metrics(home, "IBM", series, None)
    assert (before["live/steps"], [name for name in before if "first_known" in name]) == (5, [])
    restated = bars["high"].where(bars.index != "2013-02-26", bars["high"] * 1.02)
    changed = bars.assign(high=restated)
    record(home, changed, date(2013, 3, 3))
    after = live_metrics(home, "IBM", PriceSeries.from_bars(changed), None)
    assert after["live/skill"] != before["live/skill"] == after["live/first_known_skill"]


def left(home, **changes):
    """What a night leaves that is killed between its record and its promotion: a verdict, and its
    model."""
    folder = write_model(home.models / "IBM" / "tonight")
    files = {"model_folder": str(folder), "model_sha256": sha256_of(folder)}
    made = {"verdict": Verdict(True, "better", {}), **files}
    night = recorded_night("IBM", **{**made, **changes})
    write_night(night, night_path(home.nights, "IBM", night.key))
    keep_newest(home.nights, night)
    return night


def test_a_killed_nights_model_is_promoted_once_as_its_record_says(home):
    promote_pending(home, "IBM")
    night = left(home)
    for _ in range(2):
        promote_pending(home, "IBM")
        (line,) = Registry(home.models).history("IBM")
        assert (line.key, line.session, line.reason) == (night.key, night.session, "better")
        assert line.path == night.model_folder


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": Verdict(False, "no better", {})},
        {"model_sha256": "0" * 64},
        {"model_folder": "/no/such/folder"},
    ],
    ids=["not to be promoted", "another model", "no model"],
)
def test_no_other_model_is(home, changes):
    left(home, **changes)
    promote_pending(home, "IBM")
    assert Registry(home.models).history("IBM") == ()
