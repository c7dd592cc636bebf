"""What MLflow's pages and runs say of a night; what is left out; and in as much room as MLflow
has."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from stockml.nights.record import Night
from stockml.tracking import experiments, run_content, views
from stockml.tracking.client import Tracking
from tests.stockml.tracking import pages
from tests.stockml.tracking.logged import client, experiment
from tests.stockml.tracking.test_track_record import track_record
from tests.support.kept import check_kept, read_kept
from tests.support.nights import assessed, history, recorded_night

DAY = date(2013, 2, 28)


def test_the_pages_and_runs_say_what_they_did() -> None:
    told = pages.texts()
    assert told.keys() == read_kept(pages.KEPT).keys()
    for name, text in told.items():
        check_kept(pages.KEPT, name, text)


def test_the_answers_of_the_morning_are_those_of_the_forecast_in_percent() -> None:
    night = recorded_night()
    assert night.forecast
    assert night.distributions
    published = night.distributions.whole["champion"]
    expected = {
        "published_crps_skill_pct": published.skill,
        "coverage_80_pct": night.metrics["intervals/coverage_80"],
        "forecast_change_pct": night.forecast.path[-1] / (night.forecast.last_close or 0) - 1,
        "rise_chance_pct": night.forecast.probability_of_rise,
    }
    shown = {name: night.metrics[f"answer/{name}"] for name in expected}
    assert shown == pytest.approx({name: 100 * (value or 0) for name, value in expected.items()})
    for lead, skill in zip((1, 5, 10, 20, 50), published.skill_by_lead, strict=True):
        assert night.metrics[f"published/crps_skill_lead_{lead}"] == skill


def test_unknown_answers_are_left_out_and_a_zero_is_known() -> None:
    found = assessed("IBM", DAY)
    scores = {name: replace(score, skill=None) for name, score in found.evaluation.scores.items()}
    still = replace(  # as of a price that never moved
        found,
        distributions=replace(found.distributions, whole={}),
        evaluation=replace(found.evaluation, scores=scores),
    )
    early = {"live/matured": 0.0, "live/skill": 0.5}
    shown = run_content.metrics(still, early, {"unknown": None, "known": 0.0})
    left_out = ("unknown", "live_beats_last_close", "published_crps_skill")
    assert not {f"answer/{name}_pct" for name in left_out} & shown.keys()
    assert shown["answer/known_pct"] == 0
    assert "baselines/drift_mse" in shown
    assert "baselines/drift_skill" not in shown
    restated = {"live/matured": 1.0, "live/skill": 0.5, "live/first_known_skill": 0.25}
    assert run_content.metrics(found, restated, {})["answer/live_beats_last_close_pct"] == 25


def test_what_a_night_lacks_is_in_none_of_its_texts(tmp_path: Path) -> None:
    night = recorded_night(flow_run_url=None)
    assert "prefect_flow_run" not in run_content.tags(night)
    for folder in (None, str(tmp_path)):
        bare = run_content.description(replace(night, plots_folder=folder), "1", "a")
        assert "Plots: " not in bare, "none after a clean-up"
    assert night.forecast
    bands = tuple(
        replace(each, low=each.low[:10], high=each.high[:10]) for each in night.forecast.bands
    )
    short = replace(night, forecast=replace(night.forecast, bands=bands))
    assert "low_20" not in run_content.shown(short)


def test_the_scored_networks_losses_are_curves_by_epoch() -> None:
    curves: dict[str, dict[int, float]] = {}
    for name, value, _, step in run_content.curve_points(history(), 0):
        curves.setdefault(name, {})[step] = value
    rows = [row for row in history() if row["network"] == "held_out"]
    assert curves == {
        name: {row["epoch"]: row[name] for row in rows} for name in run_content.CURVES
    }


def test_the_pages_explain_exactly_what_they_show(tracking: Tracking) -> None:
    tracking.log_night(pages.night())
    run, _ = track_record(tracking)
    shown = {
        name
        for night in (pages.night(), pages.path_night())
        for name, *_ in run_content.points(night, 0)
    }
    explained = {name for line in experiments.METRICS for name in line.split(", ")}
    assert shown | set(run.data.metrics) == explained


def test_the_overview_is_first_and_as_long_as_mlflow_has_room_for(
    tracking: Tracking, night: Night
) -> None:
    tracking.log_night(night)
    client(tracking).create_experiment("a person's")
    tracking.show_overview(lambda links: f"[IBM]({links['IBM']})\n" * 300)
    newest, *_ = client(tracking).search_experiments(order_by=["last_update_time DESC"])
    note = newest.tags[views.NOTE]
    assert newest.name == "stockml"
    assert experiments.MAX_TAG_LENGTH - 200 < len(note) <= experiments.MAX_TAG_LENGTH
    assert note.startswith(f"[IBM](#/experiments/{experiment(tracking).experiment_id}/runs?")
    assert "| promoted | 1 if " in note
