"""A ticker's track record, in whatever order its nights are run, and the pages that show it."""

from colorsys import rgb_to_hls
from dataclasses import replace
from datetime import date, timedelta
from fnmatch import fnmatch
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.utils.validation import MAX_EXPERIMENT_TAG_VAL_LENGTH

from stockml.forecasts.ledger_scores import LiveScores
from stockml.nights import status, summary
from stockml.nights.glance import WIDTH
from stockml.nights.record import Night, night_path, write_night
from stockml.tracking import run_content, views
from stockml.tracking.client import Tracking
from stockml.tracking.runs import INSTALLATION, log_points
from stockml.tracking.track_record import COLOUR
from tests.stockml.tracking.logged import client, experiment, unexplained, versions
from tests.support.nights import recorded_night


def track_record(tracking: Tracking) -> tuple[Any, dict[str, dict[int, float]]]:
    """The one run of IBM in the experiment of all tickers, and its figures by session."""
    overview = client(tracking).get_experiment_by_name("stockml")
    (run,) = client(tracking).search_runs([overview.experiment_id])
    names = run.data.metrics
    points = {name: client(tracking).get_metric_history(run.info.run_id, name) for name in names}
    return run, {name: {point.step: point.value for point in found} for name, found in points.items()}


def test_the_track_record_has_one_step_per_session_in_whatever_order_nights_are_run(
    tracking: Tracking, night: Night
) -> None:
    def other(day: date, skill: float, **changes: Any) -> Night:
        live = {**night.metrics, "live/skill": skill}
        return replace(night, session=day, key=sha256(f"{day} {skill}".encode()).hexdigest(), metrics=live, **changes)

    for each in (night, other(date(2013, 3, 1), 0.03), other(date(2013, 2, 27), 0.01), night):
        tracking.log_night(each)
    run, figures = track_record(tracking)
    assert figures["record/live_skill_pct"] == pytest.approx({20130227: 1.0, 20130228: 2.1, 20130301: 3.0})
    assert (run.data.tags["session"], run.data.tags["verdict"]) == ("2013-03-01", "not promoted")
    tracking.log_night(other(date(2013, 2, 28), 0.05))
    tracking.log_night(other(date(2013, 3, 1), -0.02))
    run, figures = track_record(tracking)
    assert figures["record/live_skill_pct"] == pytest.approx({20130227: 1.0, 20130228: 5.0, 20130301: -2.0})
    assert run.data.metrics["record/live_skill_pct"] == pytest.approx(-2.0)
    assert {len(found) for found in figures.values()} == {3}


def test_a_track_record_starts_with_an_older_homes_nights_and_a_half_written_one_is_rebuilt(
    tracking: Tracking, night: Night
) -> None:
    older = replace(night, session=date(2013, 2, 27), key="0" * 64)
    write_night(older, night_path(tracking.home.nights, "IBM", older.key))
    tracking.prepare()
    overview = client(tracking).get_experiment_by_name("stockml")
    client(tracking).create_run(overview.experiment_id, tags={"ticker": "IBM", INSTALLATION: tracking.installation})
    tracking.log_night(night)
    _, figures = track_record(tracking)
    assert set(figures["record/network_adds_crps_pct"]) == {20130227, 20130228}


def test_a_track_record_whose_session_a_person_deleted_among_its_tags_is_made_anew(
    tracking: Tracking, night: Night
) -> None:
    tracking.keep_and_log(night)
    run, before = track_record(tracking)
    client(tracking).delete_tag(run.info.run_id, "session")
    tracking.keep_and_log(replace(night, key="e" * 64, session=night.session + timedelta(1)))
    again, figures = track_record(tracking)
    assert again.data.tags["session"] == "2013-03-01"
    assert all(set(figures[name]) == {20130228, 20130301} for name in before)


def test_each_tickers_line_has_a_colour_of_its_own_and_keeps_it(tracking: Tracking, night: Night) -> None:
    """MLflow's page colours runs by id, so that two of four tickers often looked alike."""
    for ticker in ("AAPL", "GOOG", "IBM", "MSFT"):
        tracking.log_night(replace(night, ticker=ticker, key=sha256(ticker.encode()).hexdigest()))
    overview = client(tracking).get_experiment_by_name("stockml").experiment_id
    before = {run.info.run_name: run.data.tags[COLOUR] for run in client(tracking).search_runs([overview])}
    hues = sorted(rgb_to_hls(*bytes.fromhex(colour[1:]))[0] for colour in before.values())
    assert min(np.diff([*hues, 1 + hues[0]])) > 0.1
    again = replace(night, ticker="IBM", key="2" * 64, metrics={**night.metrics, "live/skill": 0.5})
    tracking.log_night(replace(again, finished_at=night.finished_at + timedelta(hours=1)))
    after = {run.info.run_name: run.data.tags[COLOUR] for run in client(tracking).search_runs([overview])}
    assert after == before


@pytest.mark.parametrize("later_first", [True, False])
def test_a_sessions_last_finished_night_counts_whichever_reaches_mlflow_first(
    later_first: bool, tracking: Tracking, night: Night
) -> None:
    live = {**night.metrics, "live/skill": 0.05}
    later = replace(night, key="1" * 64, finished_at=night.finished_at + timedelta(hours=1), metrics=live)
    for each in (night, later):
        write_night(each, night_path(tracking.home.nights, "IBM", each.key))
    for each in (later, night) if later_first else (night, later):
        tracking.log_night(each)
        _, figures = track_record(tracking)
        assert figures["record/live_skill_pct"] == pytest.approx({20130228: 5.0})


def test_the_pages_explain_exactly_what_they_show(tracking: Tracking, night: Night) -> None:
    logged = tracking.log_night(replace(night, metrics={**night.metrics, WIDTH: 80.0}))
    shown = set(client(tracking).get_run(logged.mlflow_run_id).data.metrics)
    of_a_path = {"answer/network_adds_pct", "answer/lstm_beats_last_close_pct"}
    named = {name for line in views.NIGHTS for name in line.split(", ")}
    assert {name for name in named if "*" not in name} - of_a_path <= shown
    path = recorded_night("GOOG", share=0.6)
    by_a_path = {name for name, *_ in run_content.points(path, 0)}
    assert unexplained(shown | by_a_path, views.NIGHTS) == []
    assert of_a_path <= by_a_path
    explained, _, counted_there = views.NIGHTS["live/*"][1].partition("counts: ")
    assert "by tonight's prices (first_known_*: by first-known ones" in explained
    assert "late: all others, backfilled ones too" in explained
    counted = counted_there.split(", ")
    counts = [name for name, kind in LiveScores.__annotations__.items() if kind is int]
    assert [name for name in counts if not any(fnmatch(name, each) for each in counted)] == []
    run, _ = track_record(tracking)
    unknown = {WIDTH.replace("answer", "record"), "record/network_adds_pct"}
    assert set(run.data.metrics) | unknown == set(views.RECORD)
    assert max(map(len, (views.nights_view(), views.record_view(), views.nights_note("IBM", "12", "1")))) < 5000
    client(tracking).create_experiment("a person's")
    tracking.show_overview(lambda links: f"[IBM]({links['IBM']})\n" * 300)
    assert client(tracking).search_experiments(order_by=["last_update_time DESC"])[0].name == "stockml"
    note = client(tracking).get_experiment_by_name("stockml").tags[views.NOTE]
    assert MAX_EXPERIMENT_TAG_VAL_LENGTH - 200 < len(note) <= MAX_EXPERIMENT_TAG_VAL_LENGTH
    assert note.startswith(f"[IBM](#/experiments/{experiment(tracking).experiment_id}/runs?viewStateShareKey=stockml&")
    assert "| record/promoted | 0 or 1 |" in note
    assert run.data.metrics["record/live_independent"] == night.metrics["live/independent"]
    (version,) = versions(tracking)
    assert "2013-02-28 (fine-tune: 1 new session)" in version.description
    assert f"That night {summary.headline(night)}." in version.description


@pytest.mark.parametrize("reasons", [1, 400])
def test_of_more_tickers_than_mlflow_has_room_for_the_last_are_counted(reasons: int) -> None:
    names, day = [f"T{at:03}" for at in range(500)], date(2013, 2, 28)
    listed = [
        status.Row(name, day, f"failed: {at if at < reasons else reasons}", brief="failed")
        for at, name in enumerate(names)
    ]
    links = {name: views.view_url("", str(at)) for at, name in enumerate(names)}
    note = views.record_note(status.markdown(listed, links), "1")
    lines = note.splitlines()
    shown = [line for line in lines if line.startswith("| [T")]
    assert MAX_EXPERIMENT_TAG_VAL_LENGTH - 250 < len(note) <= MAX_EXPERIMENT_TAG_VAL_LENGTH
    assert "- T000: failed: 0" in lines
    assert lines[lines.index(shown[-1]) + 1 :][:2] == [
        "",
        f"{500 - len(shown)} more tickers: `stockml status`, or the artifact `status` in Prefect",
    ]
    assert status.LEGEND in lines
    assert "| record/promoted | 0 or 1 | whether that night's model was promoted |" in lines


def test_however_many_points_and_parameters_there_are_mlflow_gets_them_all_in_batches_that_it_accepts() -> None:
    batches: list[tuple[Any, ...]] = []

    class Received(MlflowClient):
        def log_batch(self, _: str, metrics: Any = (), params: Any = (), tags: Any = (), *more: Any) -> None:
            batches.append((metrics, params, tags))

    known = [("loss", float(step), 0, step) for step in range(2500)]
    log_points(Received("sqlite://"), "1", known, {"a": "b"}, {"c": 1, "d": 2})
    assert [tuple(map(len, batch)) for batch in batches] == [(997, 2, 1), (1000, 0, 0), (503, 0, 0)]
    assert [each.step for metrics, *_ in batches for each in metrics] == list(range(2500))


def test_a_page_someone_rearranged_stays_that_way_until_a_version_arranges_it_anew(
    tracking: Tracking, night: Night
) -> None:
    tracking.log_night(night)
    client(tracking).set_experiment_tag(experiment(tracking).experiment_id, views.TAG, "mine")
    tracking.log_night(replace(night, session=date(2013, 3, 1), key="1" * 64))
    assert experiment(tracking).tags[views.TAG] == "mine"
    overview = client(tracking).get_experiment_by_name("stockml").experiment_id
    for name in (views.TAG, views.ARRANGED):
        client(tracking).set_experiment_tag(overview, name, "an earlier version's")
    tracking.prepare()
    assert client(tracking).get_experiment(overview).tags[views.TAG] == views.record_view()
