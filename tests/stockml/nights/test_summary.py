"""The summary answers in words what a person asks in the morning; scripts get one object with fixed keys."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from stockml.evaluation.path_scores import CHAMPION, LSTM, PUBLISHED, WITHOUT_NETWORK, Comparison
from stockml.evaluation.significance import DieboldMariano, Interval
from stockml.models.pooled_regression import EWMA_60, POOLED
from stockml.models.pooled_ridge import RIDGE
from stockml.models.ticker_network import FINE_TUNED, PRETRAINED
from stockml.nights import summary
from stockml.nights.key_figures import KeyFigures
from stockml.nights.record import Night
from tests.stockml.nights.test_record import skipped
from tests.support.nights import recorded_night

KEYS = [
    *("ticker", "session", "status", "reason", "rows_added", "rows_restated", "data_notes", "data_hash"),
    *("config_hash", "code_hash", "mode", "mlflow_run_id", "model_version", "promoted", "metrics", "forecast"),
    *("seconds",),
]


def logged() -> Night:
    return replace(
        recorded_night(),
        mlflow_run_id="0f6f",
        mlflow_run_url="http://127.0.0.1:5000/#/experiments/1/runs/0f6f",
        mlflow_nights_url="http://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey=stockml",
        model_version="3",
        plots_folder="/home/me/.stockml/plots/IBM/0f6f",
        rows_restated=2,
        data_notes=("no bar of 2013-02-11: asked for again every night", "a split is missing"),
    )


def publishing_a_path(adds: float = 0.012, p_value: float = 0.03, skill: float = 0.05) -> Night:
    """A night that publishes a network's path, as a tutorial night does; the network adds `adds` to its `skill`."""
    night = recorded_night("GOOG", share=0.6)
    assert night.evaluation
    found = Comparison(
        PUBLISHED, WITHOUT_NETWORK, adds, Interval(adds - 0.02, adds + 0.02), DieboldMariano(-2.1, p_value, 0.015)
    )
    scores = {**night.evaluation.scores, PUBLISHED: replace(night.evaluation.scores[PUBLISHED], skill=skill)}
    evaluation = replace(night.evaluation, scores=scores, comparisons=(found,))
    return replace(night, publisher=LSTM, evaluation=evaluation)


def without_network(**changes: object) -> Night:
    """A night whose network did worse and is not published."""
    night = recorded_night()
    assert night.distributions
    assert night.forecast
    forecast = replace(night.forecast, weights=(0.0,) * 50, width_by=RIDGE)
    table = replace(night.distributions, **changes)  # type: ignore[arg-type]
    return replace(night, publisher=RIDGE, forecast=forecast, distributions=table)


@pytest.mark.parametrize(
    "said",
    [
        "session 2013-02-28",
        "1 added, 2 restated, 3,269 sessions in all",
        "data no bar of 2013-02-11: asked for again every night data a split is missing",
        "fine-tune: 1 new session",
        "against the champion's on the same origins, p 0.",
        "50 sessions ahead (80%: ",
        "close 200.83)",
        "of 93 origins (Brier score 0.2",
        "12 live forecasts complete, 1,825 steps: skill +0.021, 78% inside the 80% band (2 independent, too few to",
        "IBM 2013-02-28 fine-tune (0f6f), lstm-IBM version 3",
        "http://127.0.0.1:5000/#/experiments/1/runs/0f6f",
        "all its nights http://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey=stockml",
        "/home/me/.stockml/plots/IBM/0f6f",
    ],
)
def test_the_text_says(said: str) -> None:
    assert said in " ".join(summary.text(logged()).split())


def rows_of(night: Night, heading: str, width: int) -> list[str]:
    """The names of a table's rows."""
    lines = summary.text(night).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(heading))
    return [line[:width].strip() for line in lines[first + 1 : lines.index("", first)]]


def test_a_networks_path_gets_no_credit_where_it_is_not_published() -> None:
    night = publishing_a_path()
    assert night.forecast
    assert "published         the network's path, with the regression's width" in summary.text(night)
    of_width = replace(night.forecast, weights=(1.0,) * 50, width_by=FINE_TUNED)
    champions = replace(night, publisher=CHAMPION, forecast=of_width)
    text = " ".join(summary.text(champions).split())
    assert "published: the last close and half the usual rise, width by the fine- tuned network" in text
    assert (
        "published median: last close and half the usual rise; width: the fine-tuned network's, as the champion" in text
    )
    assert "the network's path" not in text
    assert "network adds to the path" not in summary.markdown(champions).lower()
    assert (KeyFigures.of(night).path_adds, KeyFigures.of(champions).path_adds) == (0.012, None)


def test_the_headline_gives_the_network_no_credit_where_it_adds_nothing() -> None:
    night = recorded_night()
    assert night.distributions
    assert night.distributions.network_adds
    worse = replace(night.distributions.network_adds, skill=-0.0123)
    text = " ".join(summary.text(without_network(network_adds=worse)).split())
    assert "published: the last close and half the usual rise, the ridge regression's width" in text
    assert "the network did worse: -1.23% of CRPS (-" in text
    assert "), within the noise (p " in text
    assert "width: the ridge regression's, as the network did worse" in text
    none = summary.text(
        without_network(network_adds=None, reasons={PRETRAINED: "no pretrained network ends before 2000"})
    )
    assert "no network: no pretrained network ends before 2000" in none
    bare = without_network(network_adds=None, scores={}, whole={}, widths={}, reasons={POOLED: "too few origins"})
    assert summary.headline(bare).endswith(f", the {EWMA_60}'s width; no network: too few origins")
    assert f"vs {POOLED}" not in summary.text(bare) + summary.markdown(bare)
    assert "ridge regression, published" in summary.text(without_network())
    assert "over the pooled regression" in summary.headline(without_network())


@pytest.mark.parametrize(
    ("adds", "p_value", "told"),
    [
        (0.012, 0.004, "network adds +0.012 (-0.008 to +0.032), p < 0.01"),
        (0.012, 0.03, "network adds +0.012 (-0.008 to +0.032), p 0.03"),
        (0.012, 0.30, "network adds +0.012 (-0.008 to +0.032), within the noise (p 0.30)"),
        (-0.004, 0.05, "network adds -0.004 (-0.024 to +0.016), within the noise (p 0.05)"),
    ],
)
def test_a_paths_headline_is_its_skill_and_what_the_network_adds(adds: float, p_value: float, told: str) -> None:
    night = publishing_a_path(adds, p_value)
    assert summary.text(night).splitlines()[:2] == [
        "GOOG · session 2013-02-28 · published: skill +0.050 over the last close",
        told,
    ]
    marked = summary.markdown(night).replace("&lt;", "<")
    assert f"**published: skill +0.050 over the last close; {told}**" in marked
    assert f"\n\nNetwork adds to the path: {told.removeprefix('network adds ')}.\n\n" in marked


def test_a_skipped_night_says_why_and_little_else() -> None:
    assert summary.text(skipped()).splitlines() == [
        "IBM · session 2013-02-28 · skipped",
        "",
        "bars              1 added, 3,269 sessions in all",
        "skipped           quota: 25 requests a day",
    ]
    late = Night.skipped("IBM", date(2013, 2, 28), "late", datetime(2013, 3, 1, tzinfo=UTC))
    assert "bars" not in summary.text(late), "it counted no bars"
    assert summary.markdown(skipped()) == "## IBM · 2013-02-28\n\n**skipped**\n\nquota: 25 requests a day"


@pytest.mark.parametrize("night", [logged, skipped], ids=["completed", "skipped"])
def test_the_json_object_has_exactly_the_fixed_keys_and_no_nan(night: Callable[[], Night]) -> None:
    ended = night()
    found = json.loads(json.dumps(summary.as_json(ended), allow_nan=False))
    assert list(found) == KEYS
    assert found["promoted"] is (ended.verdict is not None and ended.verdict.promoted)
    assert (found["forecast"] is None) == (ended.status == "skipped")


def test_the_markdown_puts_verdict_and_forecast_before_the_scores_and_the_links_after_them() -> None:
    text = summary.markdown(logged())
    parts = (
        "**published: the last close",
        "Not promoted: within",
        "Forecast: ",
        "| volatility",
        "| EMA",
        "| EWMA 20",
        "realised",
        "- bars: 1 added, 2 restated",
        "- data: a split is missing",
        "[MLflow run](",
        "[All nights of IBM in MLflow](http://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey=stockml)",
    )
    order = [text.index(part) for part in (*parts, "[Prefect")]
    assert order == sorted(order)


def test_no_text_of_a_record_is_an_image_a_link_or_html_on_a_page() -> None:
    bad = "<img src=//x>![i](//x)"
    night = replace(logged(), reason=bad, data_notes=(bad,), mode=bad, mlflow_run_url=f"/){bad}", publisher=bad)
    for told in (replace(night, status="skipped"), night, replace(night, ticker=bad)):
        assert "<" not in summary.markdown(told)
        assert "![" not in summary.markdown(told)
    assert "- [MLflow run](http://127.0.0.1:5000/#/experiments/1/runs/0f6f)" in summary.markdown(logged())
