"""What a night's run says of it: under which names, and what is left out."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from stockml.nights.record import Night
from stockml.settings import settings_for
from stockml.tracking import run_content
from tests.support.nights import assessed, history, recorded_night

DAY = date(2013, 2, 28)


def test_the_published_distribution_is_scored_by_lead_with_its_number_of_origins(
    night: Night,
) -> None:
    assert night.distributions
    published = night.distributions.whole["champion"]
    shown = {
        name: value
        for name, value in night.metrics.items()
        if name.startswith("published/crps_skill_lead_")
    }
    leads = (1, 5, 10, 20, 50)
    assert shown == {
        f"published/crps_skill_lead_{lead}": skill
        for lead, skill in zip(leads, published.skill_by_lead, strict=True)
    }
    assert night.metrics["published/origins"] == night.distributions.scores["champion"].origins


def test_the_answers_of_the_morning_are_those_of_the_forecast_in_percent() -> None:
    night = recorded_night()
    assert night.forecast
    assert night.distributions
    expected = {
        "published_crps_skill_pct": night.distributions.whole["champion"].skill,
        "coverage_80_pct": night.metrics["intervals/coverage_80"],
        "forecast_change_pct": night.forecast.path[-1] / (night.forecast.last_close or 0) - 1,
        "rise_chance_pct": night.forecast.probability_of_rise,
    }
    shown = {name: night.metrics[f"answer/{name}"] for name in expected}
    assert shown == pytest.approx({name: 100 * (value or 0) for name, value in expected.items()})
    path = recorded_night(share=0.6)
    assert path.evaluation
    assert (rival := path.evaluation.comparison("LSTM", "champion"))
    assert path.metrics["answer/over_champion_pct"] == pytest.approx(
        100 * (rival.skill_difference or 0)
    )


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
    answers = {name for name in shown if name.startswith("answer/")}
    assert (
        not {
            f"answer/{name}_pct"
            for name in ("unknown", "live_beats_last_close", "published_crps_skill")
        }
        & answers
    )
    assert shown["answer/known_pct"] == 0
    assert "baselines/drift_mse" in shown
    assert "baselines/drift_skill" not in shown
    assert {name.partition("/")[0] for name in shown} == {
        "answer",
        "published",
        "baselines",
        "intervals",
        "live",
    }
    restated = {"live/matured": 1.0, "live/skill": 0.5, "live/first_known_skill": 0.25}
    assert run_content.metrics(found, restated, {})["answer/live_beats_last_close_pct"] == 25


def test_a_run_says_why_a_model_was_promoted_which_changes_of_the_code_it_had_and_what_it_saw() -> (
    None
):
    night = recorded_night(git_diff="d" * 64, dataset_path="/series.parquet")
    assert night.verdict
    tags = run_content.tags(night)
    expected = {"verdict_reason": night.verdict.reason, "git_dirty": f"yes, diff {'d' * 16}"}
    expected["mlflow.source.git.commit"] = night.git_commit or ""
    assert expected.items() <= tags.items()
    assert "prefect_flow_run" not in run_content.tags(replace(night, flow_run_url=None)), (
        "no empty ones"
    )
    seen = {
        name: json.loads(told)
        for name, told in run_content.dataset(night).items()
        if told.startswith("{")
    }
    assert seen["source"] == {"uri": "/series.parquet"}
    assert seen["profile"] == {"num_rows": night.sessions, "last_session": "2013-02-28"}


def test_the_note_shows_three_plots_and_links_all_that_are_drawn(tmp_path: Path) -> None:
    night = recorded_night(plots_folder=str(tmp_path))
    for folder in (None, str(tmp_path)):
        bare = run_content.description(replace(night, plots_folder=folder), "1", "a")
        assert "Plots: " not in bare, "none after a clean-up"
    for name in ("averages", "forecast", "leads"):
        (tmp_path / f"{name}.png").touch()
    note = run_content.description(night, "1", "a")
    pictures = "\n\n".join(run_content.image("a", name) for name in ("forecast", "leads"))
    assert f"{pictures}\n\n### Scores" in note
    assert note.count("![") == 2
    links = note.split("\n\n")[-2]
    assert [link.partition("]")[0] for link in links.split("[")[1:]] == [
        "averages",
        "forecast",
        "leads",
    ]


def test_a_run_has_at_most_fifteen_metrics_no_two_alike_whose_names_say_it_at_once() -> None:
    for night in (recorded_night(), recorded_night(share=0.6, history=history())):
        metrics = {**night.metrics, "answer/width_against_usual_pct": 80.0}
        points = run_content.points(replace(night, metrics=metrics), 0)
        shown = {name: value for name, value, *_ in points}
        assert len(shown) <= 15
        assert len({*shown.values()}) == len(shown)
        assert len({name[:9] for name in shown}) == len(shown), "a chart's title is cut there"
        assert min(shown) == "band80", "MLflow's comparison opens with it"


def test_the_range_of_20_sessions_is_shown_where_so_many_are_forecast() -> None:
    night = recorded_night()
    assert night.forecast
    band = night.forecast.band(80)
    shown = run_content.shown(night)
    assert (shown["low_20"], shown["high_20"]) == (band.low[19], band.high[19])
    assert shown["close"] == night.forecast.last_close
    bands = tuple(
        replace(band, low=band.low[:10], high=band.high[:10]) for band in night.forecast.bands
    )
    assert "low_20" not in run_content.shown(
        replace(night, forecast=replace(night.forecast, bands=bands))
    )


def test_the_scored_networks_losses_are_curves_by_epoch() -> None:
    curves: dict[str, dict[int, float]] = {}
    for name, value, _, step in run_content.curve_points(history(), 0):
        curves.setdefault(name, {})[step] = value
    rows = [row for row in history() if row["network"] == "held_out"]
    assert curves == {
        name: {row["epoch"]: row[name] for row in rows} for name in run_content.CURVES
    }


def test_a_runs_parameters_are_what_differs_between_nights_and_settings_of_ones_own() -> None:
    night = recorded_night()
    assert night.forecast
    usual = {"mode": "fine-tune", "promoted": "no", "session": "2013-02-28"}
    usual |= {"width_by": night.forecast.width_by or ""}
    assert run_content.params(night) == usual
    asked = settings_for(
        "tutorial", {"network.units": (6, 6), "mode": "retrain", "training.steps": 3}
    )
    changed = {"profile": "tutorial", "network.units": "6 6"}
    dumped = json.loads(json.dumps(asked.flat()))  # as a record gives them back
    assert run_content.params(replace(night, settings=dumped)) == usual | changed
