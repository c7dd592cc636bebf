"""Replayed nights see nothing later, follow their policy, and are scored on the same origins."""

from pathlib import Path

import numpy as np
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.walk_forward import walk_forward
from stockml.errors import TooFewBars
from stockml.evaluation.backtest import backtest, nights_of, table
from stockml.home import Home
from stockml.models.trained_model import TrainedModel
from stockml.settings import Mode
from tests.support.replaying import SMALL as SETTINGS
from tests.support.replaying import fill
from tests.support.walks import SMALL, altered_after
from tests.support.walks import walk as random_walk

SERIES = random_walk(420)
POLICIES: tuple[Mode, ...] = ("retrain", "fine-tune", "auto", "keep")


@pytest.mark.slow
def test_each_policy_trains_as_it_says(tmp_path: Path) -> None:
    nights = nights_of(SERIES, SMALL, 4)
    models: dict[Mode, list[TrainedModel]] = {policy: [] for policy in POLICIES}
    rows = [
        backtest("ABC", SERIES, SMALL, p, nights, folder=tmp_path / p, on_night=lambda _, m, p=p: models[p].append(m))
        for p in POLICIES
    ]
    assert [(r.retrained, r.fine_tuned, r.kept) for r in rows] == [(4, 0, 0), (1, 3, 0), (1, 3, 0), (1, 0, 3)]
    retrained, fine_tuned, auto, kept = ([_weights(model) for model in models[policy]] for policy in POLICIES)
    assert fine_tuned == auto
    assert kept == [kept[0]] * 4 == [retrained[0]] * 4 == [fine_tuned[0]] * 4
    assert len({*retrained, *fine_tuned}) == 7
    assert [r.skill for r in rows] == pytest.approx([_skill_by_loop(nights, models[policy]) for policy in POLICIES])
    apart = (rows[3].skill or 0.0) - (rows[0].skill or 0.0)
    text = table(rows)
    assert len(text) == 6
    assert text[-1].startswith(f"| ABC | keep | 4 | {rows[3].skill:+.4f} | {apart:+.4f} |")


def _weights(model: TrainedModel) -> bytes:
    return b"".join(layer.tobytes() for layer in model.published.weights)


def _skill_by_loop(nights: np.ndarray, models: list[TrainedModel]) -> float:
    """1 − MSE / MSE(last close), every night in units of the range of the prices before it."""
    squared, naive = [], []
    for night, model in zip(nights, models, strict=True):
        (path,) = model.published.paths(SERIES.until(night + 1), [night])
        past = SERIES.mid[: night + 1][-SMALL.evaluation.scale_sessions :]
        for lead, said in enumerate(path, start=1):
            actual = SERIES.mid[night + lead]
            squared.append(((said - actual) / (past.max() - past.min())) ** 2)
            naive.append(((SERIES.close[night] - actual) / (past.max() - past.min())) ** 2)
    return 1 - float(np.mean(squared) / np.mean(naive))


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
    assert [(row.policy, row.retrained, row.fine_tuned) for row in rows] == [("retrain", 2, 0), ("fine-tune", 1, 1)]
    with get_client(sync_client=True) as client:
        shown = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["walk-forward-ibm"])))
    assert [artifact.data for artifact in shown] == ["\n".join(table(rows))]
    skills = [line.split(" | ")[3] for line in str(shown[0].data).splitlines()[2:]]
    assert skills == [f"{row.skill:+.4f}" for row in rows]
