"""Each page opens as it was arranged, by the links above it."""

import json

from stockml.tracking import glossary, views


def test_nights_open_with_the_newest_first_and_each_link_with_the_table_or_the_charts() -> None:
    shown = map(json.loads, (views.nights_view(), views.record_view()))
    order = [(view["orderByKey"], view["orderByAsc"]) for view in shown]
    assert order == [("params.`session`", False), ("tags.`ticker`", True)]
    table = "#/experiments/12/runs?viewStateShareKey=stockml&workflowType=machine_learning"
    assert views.view_url("http://mlflow.example/", "12") == f"http://mlflow.example/{table}"
    for note in (glossary.nights_note("IBM", "12", "1"), glossary.record_note("", "12")):
        assert f"[Table]({table}) · [" in note
        assert f"]({table}&compareRunsMode=CHART)" in note
