"""The text above the runs explains exactly what stands below it, in as much room as MLflow has."""

from dataclasses import replace

from stockml.nights.key_figures import WIDTH
from stockml.nights.record import Night
from stockml.tracking import glossary, run_content, views
from stockml.tracking.client import Tracking
from tests.stockml.tracking.logged import client, experiment, versions
from tests.stockml.tracking.test_track_record import track_record
from tests.support.nights import history, recorded_night


def test_the_pages_explain_exactly_what_they_show(tracking: Tracking, night: Night) -> None:
    night = replace(night, metrics={**night.metrics, WIDTH: 80.0})
    logged = tracking.log_night(night)
    tutorial = recorded_night("GOOG", share=0.6, history=history())
    shown = set(client(tracking).get_run(logged.mlflow_run_id).data.metrics)
    shown |= {name for name, *_ in run_content.points(tutorial, 0)}
    run, _ = track_record(tracking)
    explained = {name for line in glossary.METRICS for name in line.split(", ")}
    assert shown | set(run.data.metrics) == explained
    assert len(glossary.METRICS) == 15
    assert run.data.metrics["live_count"] == night.metrics["live/independent"]
    (version,) = versions(tracking)
    assert "2013-02-28 (fine-tune: 1 new session)" in version.description


def test_the_overview_is_first_and_as_long_as_mlflow_has_room_for(
    tracking: Tracking, night: Night
) -> None:
    tracking.log_night(night)
    client(tracking).create_experiment("a person's")
    tracking.show_overview(lambda links: f"[IBM]({links['IBM']})\n" * 300)
    assert (
        client(tracking).search_experiments(order_by=["last_update_time DESC"])[0].name == "stockml"
    )
    note = client(tracking).get_experiment_by_name("stockml").tags[views.NOTE]
    assert glossary.MAX_TAG_LENGTH - 200 < len(note) <= glossary.MAX_TAG_LENGTH
    assert note.startswith(
        f"[IBM](#/experiments/{experiment(tracking).experiment_id}/runs?viewStateShareKey=stockml&"
    )
    assert "| promoted | 1 if " in note
