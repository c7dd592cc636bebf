"""The summary says in words what a person asks in the morning, and scripts get one object with fixed keys."""

import json
from dataclasses import replace

import pytest

from stockml.evaluation.distribution_table import BLEND
from stockml.evaluation.evaluate import LAST_CLOSE, LSTM, PUBLISHED, WITHOUT_NETWORK
from stockml.evaluation.metrics import Comparison
from stockml.evaluation.significance import DieboldMariano, Interval
from stockml.evaluation.simple_distributions import POOLED
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
    "data_notes",
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
        data_notes=("no bar of 2013-02-11: asked for again every night",),
    )


def by_the_network(adds: float = 0.012, p_value: float = 0.03, skill: float = 0.05) -> Night:
    """A night that publishes the network's distribution, with this much of it the network's own."""
    night = recorded_night("GOOG")
    assert night.evaluation
    found = Comparison(
        PUBLISHED, WITHOUT_NETWORK, adds, Interval(adds - 0.02, adds + 0.02), DieboldMariano(-2.1, p_value, 0.015)
    )
    scores = {**night.evaluation.scores, PUBLISHED: replace(night.evaluation.scores[PUBLISHED], skill=skill)}
    evaluation = replace(night.evaluation, scores=scores, comparisons=(found,))
    return replace(night, publisher=LSTM, evaluation=evaluation)


def of_an_earlier_version() -> Night:
    """As it was kept before skill was over the last close: no close, no distributions, no publisher, other rows."""
    night = recorded_night()
    assert night.evaluation
    assert night.forecast
    scores = {name: night.evaluation.scores[name] for name in (LSTM, PUBLISHED, "EMA", "drift")}
    evaluation = replace(
        night.evaluation, scores={"last value": night.evaluation.scores[LAST_CLOSE], **scores}, comparisons=()
    )
    forecast = replace(night.forecast, last_close=None, weights=(1.0,) * 50)
    return replace(night, evaluation=evaluation, forecast=forecast, distributions=None, publisher="")


@pytest.mark.parametrize(
    "said",
    [
        "session 2013-02-28",
        "1 added, 2 restated, 3,269 sessions in all",
        "data no bar of 2013-02-11: asked for again every night",
        "fine-tune: 1 new session",
        "promoted within the noise, and the champion is 2557 sessions old: CRPS +0.00% against the champion's",
        "50 sessions ahead (80%: ",
        "close 200.83, mid price 201.96",
        "that the price is higher in 30 sessions; it was from 68% of the origins",
        "12 forecasts came due, live skill +0.021, 78% inside the 80% band",
        "IBM 2013-02-28 fine-tune (0f6f), lstm-IBM version 3",
        "http://127.0.0.1:5000/#/experiments/1/runs/0f6f",
        "/home/me/.stockml/plots/IBM/0f6f",
        "make up",
    ],
)
def test_the_text_says(said: str) -> None:
    assert said in " ".join(summary.text(logged()).split())


@pytest.mark.parametrize("night", [logged(), by_the_network(), of_an_earlier_version()], ids=["pooled", "own", "old"])
def test_no_line_is_wider_than_a_terminal(night: Night) -> None:
    assert max(len(line) for line in summary.text(night).splitlines()) <= 100


def test_every_contender_stands_in_one_table_the_reference_first_and_what_is_published_last() -> None:
    lines = summary.text(recorded_night()).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("path, same origins"))
    names = [line[:18].strip() for line in lines[first + 1 : first + 12]]
    assert names == [
        "last close",
        "last mid price",
        "EMA",
        "drift",
        "momentum",
        "standard average",
        "trend prior",
        "LSTM",
        "champion",
        "without network",
        "published",
    ]
    assert lines[first + 12].startswith("network adds ")


@pytest.mark.parametrize(
    ("adds", "p_value", "told"),
    [
        (0.012, 0.03, "network adds +0.012 (-0.008 to +0.032), p 0.03"),
        (0.012, 0.30, "network adds +0.012 (-0.008 to +0.032), within the noise (p 0.30)"),
        (-0.004, 0.05, "network adds -0.004 (-0.024 to +0.016), within the noise (p 0.05)"),
    ],
)
def test_the_headline_is_about_what_is_published_and_what_of_it_is_the_networks(
    adds: float, p_value: float, told: str
) -> None:
    night = by_the_network(adds, p_value)
    assert summary.text(night).splitlines()[:2] == [
        "GOOG · session 2013-02-28 · published: skill +0.050 over the last close",
        told,
    ]
    assert f"**published: skill +0.050 over the last close; {told}**" in summary.markdown(night)


def test_what_cannot_be_tested_says_so() -> None:
    night = by_the_network()
    assert night.evaluation
    (found,) = night.evaluation.comparisons
    few = replace(night.evaluation, comparisons=(replace(found, interval=None, test=None),))
    assert "network adds +0.012, too few origins to test" in summary.text(replace(night, evaluation=few))
    none = replace(night.evaluation, comparisons=(replace(found, skill_difference=None),))
    assert "network adds" not in summary.text(replace(night, evaluation=none))


def test_where_the_networks_distribution_is_worse_the_headline_gives_it_nothing() -> None:
    night = recorded_night()
    assert (night.publisher, night.distributions is not None) == (BLEND, True)
    assert night.distributions
    gain = night.distributions.widths[BLEND]
    assert gain.test
    heading, adds = summary.text(night).splitlines()[:2]
    said = "published: the last close, width by base network and regression"
    assert heading == f"IBM · session 2013-02-28 · {said}"
    assert adds.startswith(f"network adds {gain.skill:+.2%} to the width's CRPS, ")
    assert f"p {gain.test.p_value:.2f}" in adds
    assert "published         the last close, with the mean width of base network" in summary.text(night)
    alone = replace(night, publisher=POOLED)
    assert summary.text(alone).splitlines()[:2] == [
        "IBM · session 2013-02-28 · published: the last close and the pooled regression's width",
        "the network's distribution is worse",
    ]
    assert "published         the last close, with the pooled regression's quantiles" in summary.text(alone)
    assert "no skill shown" not in summary.text(night)


def test_each_of_the_three_skills_is_named_for_what_it_is() -> None:
    """What is published on the test part; the model's own path on all unseen sessions; what was live."""
    text = " ".join(summary.text(by_the_network()).split())
    assert "published: skill +0.050 over the last close" in text
    assert "(the model's own path: skill +0.009 over the last close on unseen sessions)" in text
    assert "live skill +0.021" in text
    assert text.count("skill +") + text.count("skill -") == 3


def test_direction_stands_beside_how_often_the_price_rose() -> None:
    night = recorded_night()
    rose = night.evaluation and night.evaluation.scores[LAST_CLOSE].direction.base_rate
    assert rose
    assert f"direction (rose {rose:.0%})" in summary.text(night)
    assert f"direction (rose {rose:.0%})" in summary.markdown(night)


def test_distributions_stand_in_a_table_of_their_own_with_the_reason_for_a_row_that_is_not_there() -> None:
    night = recorded_night("GOOG")
    assert night.distributions
    lines = summary.text(night).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("distribution "))
    rows = {line[:29].strip(): line[29:].split() for line in lines[first + 1 : first + 11]}
    assert list(rows) == [
        "last close, constant width",
        "EWMA 20",
        "EWMA 60",
        POOLED,
        "base network",
        BLEND,
        "last close, today's bands",
        "LSTM, drawn to the close",
        "champion, drawn to the close",
        WITHOUT_NETWORK,
    ]
    assert rows[POOLED][1:3] == ["–", "–"]
    found, whole = night.distributions.scores[LSTM], night.distributions.whole[LSTM].skill
    held = [f"{found.coverage[level]:.0%}" for level in ("50", "80", "95")]
    width = night.distributions.widths[LSTM].skill
    assert rows["LSTM, drawn to the close"] == [f"{100 * found.crps:.4f}", f"{whole:+.2%}", f"{width:+.2%}", *held]
    assert lines[first + 11].startswith("HAR range (ticker's own): expected at least 2000 sessions")
    marked = summary.markdown(night)
    assert "| LSTM, drawn to the close&emsp;| " in marked
    assert "- HAR range (ticker's own): expected at least 2000 sessions" in marked


def test_a_night_of_an_earlier_version_is_worded_by_what_it_has() -> None:
    """Its skill was over the last mid price, and that is said; nothing is made up for it."""
    night = of_an_earlier_version()
    text = summary.text(night)
    assert text.splitlines()[0].endswith("published: skill +0.000 over the last mid price")
    assert "now mid price 201.96" in " ".join(text.split())
    assert "(the model's own path: skill -0.013 on unseen sessions)" in " ".join(text.split())
    measured = text[: text.index("promoted")]
    assert [name for name in ("last close", "network adds", "CRPS") if name in measured] == []
    assert "| last value" in summary.markdown(night)


def test_a_forecast_without_skill_is_not_sold_as_one() -> None:
    night = by_the_network()
    assert night.forecast
    without = replace(night, forecast=replace(night.forecast, weights=(0.0,) * 50))
    assert "no skill shown: publishing the last close" in summary.text(without)
    assert "**No skill shown: publishing the last close" in summary.markdown(without)
    with_skill = replace(night, forecast=replace(night.forecast, weights=(0.4,) * 50))
    assert "40% of the model's move, the rest last close (the model's own path: skill" in summary.text(with_skill)
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


def test_the_markdown_has_the_verdict_before_the_tables_and_links_after_them() -> None:
    text = summary.markdown(logged())
    parts = ("**published: the last close", "Promoted: within", "| LSTM", "Network adds", "| EWMA 20", "[MLflow run](")
    order = [text.index(part) for part in (*parts, "[Prefect")]
    assert order == sorted(order)
