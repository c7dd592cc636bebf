"""What MLflow's pages and runs say of a night; what is left out; and a ticker's track record, in
whatever order its nights are run."""

from dataclasses import replace
from datetime import date, timedelta
from functools import partial

import pytest

from stockml.nights.record import night_path, write_night
from stockml.tracking import experiments, run_content, views
from tests.stockml.tracking import pages
from tests.stockml.tracking.logged import client, experiment, runs
from tests.support.kept import check_kept, read_kept
from tests.support.nights import assessed, recorded_night


def test_the_pages_and_runs_say_what_they_did():
    told = pages.texts()
    assert told.keys() == read_kept(pages.KEPT).keys()
    for name, text in told.items():
        check_kept(pages.KEPT, name, text)


def test_unknown_answers_are_left_out_and_a_zero_is_known():
    found = assessed("IBM", date(2013, 2, 28))
    scores = {name: replace(score, skill=None) for name, score in found.evaluation.scores.items()}
    still = replace(  # as of a price that never moved
        found,
        distributions=replace(found.distributions, whole={}),
        evaluation=replace(found.evaluation, scores=scores),
    )
    early = {"live/matured": 0.0, "live/skill": 0.5}
    shown = run_content.metrics(still, early, {"unknown": None, "known": 0.0})
    assert {"answer/known_pct", "baselines/drift_mse"} < shown.keys()
    names = ("unknown", "live_beats_last_close", "published_crps_skill")
    left_out = {"baselines/drift_skill", *(f"answer/{name}_pct" for name in names)}
    assert not left_out & shown.keys()
    restated = {"live/matured": 1.0, "live/skill": 0.5, "live/first_known_skill": 0.25}
    assert run_content.metrics(found, restated, {})["answer/live_beats_last_close_pct"] == 25


def test_what_a_night_lacks_is_in_none_of_its_texts(tmp_path):
    night = recorded_night(flow_run_url=None)
    assert "prefect_flow_run" not in run_content.tags(night)
    for folder in (None, str(tmp_path)):
        bare = run_content.description(replace(night, plots_folder=folder), "1", "a")
        assert "Plots: " not in bare, "none after a clean-up"
    bands = [replace(each, low=each.low[:10], high=each.high[:10]) for each in night.forecast.bands]
    short = replace(night, forecast=replace(night.forecast, bands=tuple(bands)))
    assert "low_20" not in run_content.shown(short)


def test_the_pages_explain_exactly_what_they_show(tracking):
    tracking.log_night(pages.night())
    run, _ = track_record(tracking)
    nights = pages.night(), pages.path_night()
    shown = {name for night in nights for name, *_ in run_content.points(night, 0)}
    explained = {name for line in experiments.METRICS for name in line.split(", ")}
    assert shown | set(run.data.metrics) == explained


def test_the_overview_is_first_and_as_long_as_mlflow_has_room_for(tracking, night):
    tracking.log_night(night)
    client(tracking).create_experiment("a person's")
    tracking.show_overview(lambda links: f"[IBM]({links['IBM']})\n" * 300)
    newest, *_ = client(tracking).search_experiments(order_by=["last_update_time DESC"])
    note = newest.tags[views.NOTE]
    assert newest.name == "stockml"
    assert experiments.MAX_TAG_LENGTH - 200 < len(note) <= experiments.MAX_TAG_LENGTH
    assert note.startswith(f"[IBM](#/experiments/{experiment(tracking).experiment_id}/runs?")
    assert "| promoted | 1 if " in note


def track_record(tracking):
    """The one run of IBM in the experiment of all tickers, and its figures by session."""
    [run] = runs(tracking, "")
    history = partial(client(tracking).get_metric_history, run.info.run_id)
    return run, {
        name: {point.step: point.value for point in history(name)} for name in run.data.metrics
    }


def test_the_track_record_has_one_step_per_session_in_whatever_order_nights_are_run(
    tracking, night
):
    def other(day, skill):
        key, live = f"{day} {skill}", {**night.metrics, "live/skill": skill}
        return replace(night, session=day, key=key, metrics=live)

    for each in (night, other(date(2013, 3, 1), 0.03), other(date(2013, 2, 27), 0.01), night):
        tracking.log_night(each)
    run, figures = track_record(tracking)
    assert figures["live_skill"] == pytest.approx({20130227: 1.0, 20130228: 2.1, 20130301: 3.0})
    assert (run.data.tags["session"], run.data.tags["verdict"]) == ("2013-03-01", "not promoted")
    for each in (other(date(2013, 2, 28), 0.05), other(date(2013, 3, 1), -0.02)):
        tracking.log_night(each)
    run, figures = track_record(tracking)
    assert figures["live_skill"] == pytest.approx({20130227: 1.0, 20130228: 5.0, 20130301: -2.0})
    assert run.data.metrics["live_skill"] == pytest.approx(-2.0)
    assert {len(found) for found in figures.values()} == {3}


def test_a_track_record_starts_with_an_older_homes_nights_and_a_half_written_one_is_rebuilt(
    tracking, night
):
    older = replace(night, session=date(2013, 2, 27), key="0" * 64)
    write_night(older, night_path(tracking.home.nights, "IBM", older.key))
    tracking.prepare()
    overview = experiment(tracking, "").experiment_id
    client(tracking).create_run(overview, tags={"ticker": "IBM"})
    tracking.log_night(night)
    _, figures = track_record(tracking)
    assert set(figures["network_adds"]) == {20130227, 20130228}


@pytest.mark.parametrize("later_first", [True, False])
def test_a_sessions_last_finished_night_counts_whichever_reaches_mlflow_first(
    later_first, tracking, night
):
    live = {**night.metrics, "live/skill": 0.05}
    at = night.finished_at + timedelta(hours=1)
    later = replace(night, key="1" * 64, finished_at=at, metrics=live)
    for each in (night, later):
        write_night(each, night_path(tracking.home.nights, "IBM", each.key))
    for each in (later, night) if later_first else (night, later):
        tracking.log_night(each)
        _, figures = track_record(tracking)
        assert figures["live_skill"] == pytest.approx({20130228: 5.0})
