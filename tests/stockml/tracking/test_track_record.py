"""A ticker's track record, in whatever order its nights are run."""

from dataclasses import replace
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

import pytest

from stockml.nights.record import Night, night_path, write_night
from stockml.tracking.client import Tracking
from tests.stockml.tracking.logged import client


def track_record(tracking: Tracking) -> tuple[Any, dict[str, dict[int, float]]]:
    """The one run of IBM in the experiment of all tickers, and its figures by session."""
    overview = client(tracking).get_experiment_by_name("stockml")
    (run,) = client(tracking).search_runs([overview.experiment_id])
    names = run.data.metrics
    points = {name: client(tracking).get_metric_history(run.info.run_id, name) for name in names}
    return run, {
        name: {point.step: point.value for point in found} for name, found in points.items()
    }


def test_the_track_record_has_one_step_per_session_in_whatever_order_nights_are_run(
    tracking: Tracking, night: Night
) -> None:
    def other(day: date, skill: float, **changes: Any) -> Night:
        live = {**night.metrics, "live/skill": skill}
        return replace(
            night,
            session=day,
            key=sha256(f"{day} {skill}".encode()).hexdigest(),
            metrics=live,
            **changes,
        )

    for each in (night, other(date(2013, 3, 1), 0.03), other(date(2013, 2, 27), 0.01), night):
        tracking.log_night(each)
    run, figures = track_record(tracking)
    assert figures["live_skill"] == pytest.approx({20130227: 1.0, 20130228: 2.1, 20130301: 3.0})
    assert (run.data.tags["session"], run.data.tags["verdict"]) == ("2013-03-01", "not promoted")
    tracking.log_night(other(date(2013, 2, 28), 0.05))
    tracking.log_night(other(date(2013, 3, 1), -0.02))
    run, figures = track_record(tracking)
    assert figures["live_skill"] == pytest.approx({20130227: 1.0, 20130228: 5.0, 20130301: -2.0})
    assert run.data.metrics["live_skill"] == pytest.approx(-2.0)
    assert {len(found) for found in figures.values()} == {3}


def test_a_track_record_starts_with_an_older_homes_nights_and_a_half_written_one_is_rebuilt(
    tracking: Tracking, night: Night
) -> None:
    older = replace(night, session=date(2013, 2, 27), key="0" * 64)
    write_night(older, night_path(tracking.home.nights, "IBM", older.key))
    tracking.prepare()
    overview = client(tracking).get_experiment_by_name("stockml")
    client(tracking).create_run(overview.experiment_id, tags={"ticker": "IBM"})
    tracking.log_night(night)
    _, figures = track_record(tracking)
    assert set(figures["network_adds"]) == {20130227, 20130228}


@pytest.mark.parametrize("later_first", [True, False])
def test_a_sessions_last_finished_night_counts_whichever_reaches_mlflow_first(
    later_first: bool, tracking: Tracking, night: Night
) -> None:
    live = {**night.metrics, "live/skill": 0.05}
    later = replace(
        night, key="1" * 64, finished_at=night.finished_at + timedelta(hours=1), metrics=live
    )
    for each in (night, later):
        write_night(each, night_path(tracking.home.nights, "IBM", each.key))
    for each in (later, night) if later_first else (night, later):
        tracking.log_night(each)
        _, figures = track_record(tracking)
        assert figures["live_skill"] == pytest.approx({20130228: 5.0})
