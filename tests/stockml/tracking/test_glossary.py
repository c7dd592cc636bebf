"""The text above the runs explains exactly what stands below it, in as much room as MLflow has."""

from dataclasses import replace
from fnmatch import fnmatch

from stockml.forecasts.ledger_scores import RealisedScores
from stockml.nights import summary
from stockml.nights.key_figures import WIDTH
from stockml.nights.record import Night
from stockml.tracking import glossary, run_content, views
from stockml.tracking.client import Tracking
from tests.stockml.tracking.logged import client, experiment, unexplained, versions
from tests.stockml.tracking.test_track_record import track_record
from tests.support.nights import recorded_night


def test_the_pages_explain_exactly_what_they_show(tracking: Tracking, night: Night) -> None:
    logged = tracking.log_night(replace(night, metrics={**night.metrics, WIDTH: 80.0}))
    shown = set(client(tracking).get_run(logged.mlflow_run_id).data.metrics)
    of_a_path = {"answer/network_adds_pct", "answer/lstm_beats_last_close_pct"}
    named = {name for line in glossary.NIGHTS for name in line.split(", ")}
    assert {name for name in named if "*" not in name} - of_a_path <= shown
    path = recorded_night("GOOG", share=0.6)
    by_a_path = {name for name, *_ in run_content.points(path, 0)}
    assert unexplained(shown | by_a_path, glossary.NIGHTS) == []
    assert of_a_path <= by_a_path
    explained, _, counted_there = glossary.NIGHTS["live/*"][1].partition("counts: ")
    assert "by tonight's prices (first_known_*: by first-known ones" in explained
    assert "late: all others, backfilled ones too" in explained
    counted = counted_there.split(", ")
    counts = [name for name, kind in RealisedScores.__annotations__.items() if kind is int]
    assert [name for name in counts if not any(fnmatch(name, each) for each in counted)] == []
    run, _ = track_record(tracking)
    unknown = {WIDTH.replace("answer", "record"), "record/network_adds_pct"}
    assert set(run.data.metrics) | unknown == set(glossary.RECORD)
    assert max(map(len, (views.nights_view(), views.record_view(), glossary.nights_note("IBM", "12", "1")))) < 5000
    client(tracking).create_experiment("a person's")
    tracking.show_overview(lambda links: f"[IBM]({links['IBM']})\n" * 300)
    assert client(tracking).search_experiments(order_by=["last_update_time DESC"])[0].name == "stockml"
    note = client(tracking).get_experiment_by_name("stockml").tags[views.NOTE]
    assert glossary.MAX_TAG_LENGTH - 200 < len(note) <= glossary.MAX_TAG_LENGTH
    assert note.startswith(f"[IBM](#/experiments/{experiment(tracking).experiment_id}/runs?viewStateShareKey=stockml&")
    assert "| record/promoted | 0 or 1 |" in note
    assert run.data.metrics["record/live_independent"] == night.metrics["live/independent"]
    (version,) = versions(tracking)
    assert "2013-02-28 (fine-tune: 1 new session)" in version.description
    assert f"That night {summary.headline(night)}." in version.description
