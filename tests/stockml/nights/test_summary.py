"""The summary says in words what a person asks in the morning, and scripts get one object with fixed keys."""

import json
from dataclasses import replace

import pytest

from stockml.nights import summary
from stockml.nights.record import Night
from tests.stockml.nights.test_record import skipped
from tests.support.nights import recorded_night

KEYS = [
    "ticker",
    "session",
    "status",
    "reason",
    "rows_added",
    "rows_restated",
    "data_hash",
    "config_hash",
    "code_hash",
    "mode",
    "mlflow_run_id",
    "model_version",
    "promoted",
    "metrics",
    "forecast",
    "seconds",
]


def logged() -> Night:
    return replace(
        recorded_night(),
        mlflow_run_id="0f6f",
        mlflow_run_url="http://127.0.0.1:5000/#/experiments/1/runs/0f6f",
        model_version="3",
        plots_folder="/home/me/.stockml/plots/IBM/0f6f",
        rows_restated=2,
    )


@pytest.mark.parametrize(
    "said",
    [
        "session 2013-02-28",
        "1 added, 2 restated, 3,269 sessions in all",
        "fine-tune: 1 new session",
        "promoted          beats the champion, MSE 0.00537378 against 0.00540666",
        "50 sessions ahead (80%: ",
        "that the price is higher in 30 sessions",
        "12 forecasts came due, skill +0.021, 78% inside the 80% band",
        "IBM 2013-02-28 fine-tune (0f6f), lstm-IBM version 3",
        "http://127.0.0.1:5000/#/experiments/1/runs/0f6f",
        "/home/me/.stockml/plots/IBM/0f6f",
        "make up",
    ],
)
def test_the_text_says(said: str) -> None:
    assert said in summary.text(logged())


def test_every_contender_stands_in_one_table_the_model_first() -> None:
    lines = summary.text(recorded_night()).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("same origins"))
    names = [line[:17].strip() for line in lines[first + 1 : first + 9]]
    assert names == ["LSTM", "champion", "published", "last value", "EMA", "drift", "momentum", "standard average"]
    assert all(len(line) <= 110 for line in lines)


def test_a_forecast_without_skill_is_not_sold_as_one() -> None:
    night = recorded_night()
    assert night.forecast
    without = replace(night, forecast=replace(night.forecast, weights=(0.0,) * 50))
    assert "no skill shown: publishing last value" in summary.text(without)
    assert "No skill shown: publishing last value" in summary.markdown(without)
    with_skill = replace(night, forecast=replace(night.forecast, weights=(0.4,) * 50))
    assert "40% of the model's move, the rest last value (skill " in summary.text(with_skill)
    assert "no skill" not in summary.text(with_skill)


def test_a_skipped_night_says_why_and_little_else() -> None:
    assert summary.text(skipped()).splitlines() == [
        "IBM · session 2013-02-28 · skipped",
        "",
        "bars              1 added, 3,269 sessions in all",
        "skipped           quota: 25 requests a day",
    ]
    assert summary.markdown(skipped()) == "## IBM · 2013-02-28\n\n**skipped**\n\nquota: 25 requests a day"


@pytest.mark.parametrize("night", [logged(), skipped()], ids=["completed", "skipped"])
def test_the_json_object_has_exactly_its_keys_and_no_nan(night: Night) -> None:
    found = json.loads(json.dumps(summary.as_json(night), allow_nan=False))
    assert list(found) == KEYS
    assert found["promoted"] is (night.status == "completed")
    assert (found["forecast"] is None) == (night.status == "skipped")


def test_the_markdown_has_the_verdict_before_the_table_and_links_after_it() -> None:
    text = summary.markdown(logged())
    order = [text.index(part) for part in ("**skill +0.020", "Promoted: beats", "| LSTM", "[MLflow run](", "[Prefect")]
    assert order == sorted(order)
