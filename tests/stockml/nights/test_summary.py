"""The summary answers in words what a person asks in the morning; scripts get one object with fixed
keys."""

import json
from dataclasses import replace

import pytest

from stockml.evaluation.path_scores import CHAMPION, LSTM, PUBLISHED, WITHOUT_NETWORK, Comparison
from stockml.forecasts.proper_scores import DieboldMariano, Interval
from stockml.models.regressions import RIDGE
from stockml.models.trained_model import FINE_TUNED, PRETRAINED
from stockml.nights import summary
from stockml.nights.card import Card
from stockml.nights.key_figures import KeyFigures
from tests.stockml.nights.test_record import skipped
from tests.support.json_fields import check_fields
from tests.support.nights import recorded_night

RUN = "http://127.0.0.1:5000/#/experiments/1/runs/0f6f"


def logged():
    return replace(
        recorded_night(),
        mlflow_run_id="0f6f",
        mlflow_run_url=RUN,
        mlflow_nights_url="http://127.0.0.1:5000/#/experiments/1/runs",
        model_version="3",
        plots_folder="/home/me/.stockml/plots/IBM/0f6f",
        rows_restated=2,
        data_notes=("no bar of 2013-02-11: asked for again every night", "a split is missing"),
    )


def publishing_a_path():
    """A night that publishes a network's path, as a tutorial night does."""
    night = recorded_night("GOOG", share=0.6)
    test = DieboldMariano(-2.1, 0.03, 0.015)
    found = Comparison(PUBLISHED, WITHOUT_NETWORK, 0.012, Interval(-0.008, 0.032), test)
    return replace(
        night, publisher=LSTM, evaluation=replace(night.evaluation, comparisons=(found,))
    )


def details(night):
    return summary.text(night, details=True)


def words(night):
    return " ".join(details(night).split())


def rows_of(night, heading, width):
    """The names of a table's rows."""
    lines = details(night).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(heading))
    return [line[:width].strip() for line in lines[first + 1 : lines.index("", first)]]


def test_the_scores_come_after_the_card_and_only_when_asked_for():
    """All that an ordinary night says is in the texts of tests/stockml/tracking/pages.txt."""
    night = logged()
    card, told = Card.of("IBM", night.forecast, night).text(), words(night)
    assert details(night).startswith(card + "\n\n")
    for said in (
        "bars 1 added, 2 restated, 3,269 sessions in all",
        "data no bar of 2013-02-11: asked for again every night data a split is missing",
        f"IBM 2013-02-28 fine-tune (0f6f), lstm-IBM version 3 {RUN}",
        "/home/me/.stockml/plots/IBM/0f6f",
    ):
        assert said in told
    shown = summary.text(night)
    assert shown.startswith(card)
    assert shown.endswith("\n(scores: --details)")
    assert len(shown.splitlines()) <= 17


def test_credit_goes_to_what_is_published():
    night = publishing_a_path()
    assert "published the network's path, with the regression's width" in words(night)
    gain = "network adds +0.012 of the path's skill (-0.008 to +0.032), p 0.03"
    assert gain in words(night)
    forecast = replace(night.forecast, weights=(1.0,) * 50, width_by=FINE_TUNED)
    champions = replace(night, publisher=CHAMPION, forecast=forecast)
    assert "width: the fine-tuned network's, as the champion stays" in words(champions)
    assert "path's skill" not in words(champions)
    assert [KeyFigures.of(each).path_adds for each in (night, champions)] == [0.012, None]
    usual = recorded_night()
    worse = replace(
        usual,
        publisher=RIDGE,
        forecast=replace(usual.forecast, weights=(0.0,) * 50, width_by=RIDGE),
        distributions=replace(usual.distributions, reasons={PRETRAINED: "too new"}),
    )
    assert "width: the ridge regression's, as the network did worse" in words(worse)
    assert "no network too new" in words(worse)


def test_a_live_figure_shows_its_observations_and_calls_fewer_than_thirty_too_few():
    def said(**changes):
        live = {f"live/{name}": value for name, value in changes.items()}
        return words(replace(logged(), metrics={**logged().metrics, **live}))

    assert "78% inside the 80% band (2 independent, too few to judge)" in said()
    assert "78% inside the 80% band (30 independent)" in said(independent=30)
    assert "live forecasts" not in said(matured=0)


def test_a_skipped_night_says_why_and_no_more_and_another_what_was_promoted():
    why = "skipped: quota: 25 requests a day"
    assert summary.text(skipped()) == summary.markdown(skipped()) == f"IBM 2013-02-28 {why}"
    assert summary.message(skipped()) == why
    assert summary.message(logged()).endswith(", calm; fine-tune")
    promoted = replace(logged(), verdict=replace(logged().verdict, promoted=True))
    assert summary.message(promoted).endswith("; fine-tune, promoted")


@pytest.mark.parametrize("night", [logged, skipped], ids=["completed", "skipped"])
def test_the_json_object_has_exactly_the_fixed_keys_and_no_nan(night):
    found = json.loads(json.dumps(summary.as_json(night()), allow_nan=False))
    check_fields("nightly", found)
    assert found["promoted"] is False
    assert (found["forecast"] is None) == (found["status"] == "skipped")


def test_no_text_of_a_record_is_an_image_a_link_or_html_on_a_page():
    bad = "<img src=//x>![i](//x)"
    texts = dict.fromkeys(("reason", "mode", "publisher"), bad)
    night = replace(logged(), data_notes=(bad,), mlflow_run_url=f"/){bad}", **texts)
    for told in (replace(night, status="skipped"), night, replace(night, ticker=bad)):
        assert "<" not in summary.markdown(told)
        assert "![" not in summary.markdown(told)
    assert f"- [MLflow run]({RUN})" in summary.markdown(logged())
