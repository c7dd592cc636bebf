"""Replayed nights see nothing later, follow their policy, and are scored on the same origins."""

from pathlib import Path

import numpy as np
import pytest

from flows.walk_forward import walk_forward
from stockml.errors import TooFewBars
from stockml.evaluation.backtest import backtest, nights_of, table
from stockml.home import Home
from tests.support.replaying import SMALL as SETTINGS
from tests.support.replaying import fill
from tests.support.walks import SMALL, altered_after
from tests.support.walks import walk as random_walk

SERIES = random_walk(420)


@pytest.mark.slow
def test_each_policy_trains_as_it_says(tmp_path: Path) -> None:
    nights = nights_of(SERIES, SMALL, 4)
    rows = [
        backtest("ABC", SERIES, SMALL, p, nights, folder=tmp_path / p) for p in ("retrain", "fine-tune", "auto", "keep")
    ]
    assert [(r.retrained, r.fine_tuned, r.kept) for r in rows] == [(4, 0, 0), (1, 3, 0), (1, 3, 0), (1, 0, 3)]
    assert rows[1].skill == rows[2].skill
    assert rows[1].skill == pytest.approx(rows[0].skill, abs=0.01)
    text = table(rows)
    assert len(text) == 6
    assert "| ABC | keep | 4 |" in text[-1]


@pytest.mark.slow
def test_what_a_night_publishes_does_not_depend_on_what_came_later(tmp_path: Path) -> None:
    nights = nights_of(SERIES, SMALL, 2)
    models = []
    for name, series in (("a", SERIES), ("b", altered_after(SERIES, int(nights[-1])))):
        backtest(
            "ABC", series, SMALL, "fine-tune", nights, folder=tmp_path / name, on_night=lambda _, m: models.append(m)
        )
    first, second = models[1], models[3]
    for one, two in zip(first.published.weights, second.published.weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_nights_are_the_newest_whose_outcome_is_known() -> None:
    nights = nights_of(SERIES, SMALL, 5, every=2)
    assert nights.tolist() == [406, 408, 410, 412, 414]
    assert nights[-1] + SMALL.evaluation.horizon == len(SERIES) - 1
    with pytest.raises(TooFewBars, match="nights"):
        nights_of(SERIES, SMALL, 400)


@pytest.mark.slow
def test_the_flow_shows_every_policy_side_by_side(home: Home, prefect_server: None) -> None:
    fill(home, ["IBM"])
    rows = walk_forward("IBM", nights=2, policies=["retrain", "fine-tune"], settings=SETTINGS)
    assert [(row.policy, row.nights) for row in rows] == [("retrain", 2), ("fine-tune", 2)]
    assert all(row.skill is not None for row in rows)
