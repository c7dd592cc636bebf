"""The published recipe at its published size on the published data: nine minutes on two cores."""

import pytest

from stockml.evaluation.tutorial_report import NOISE, PUBLISHED, report
from tests.support.kaggle import kaggle_folder

pytestmark = pytest.mark.campaign


def test_thirty_epochs_on_hpq_reach_the_published_figures() -> None:
    found = report(
        kaggle_folder() / "Stocks" / "hpq.us.txt", {"training.decay_on": "test"}, on_epoch=print
    )
    for name in ("standard average", "EMA"):
        assert f"{found.one_step[name]:.5f}" == f"{PUBLISHED[name]:.5f}"
    assert found.by_epoch[-1] == pytest.approx(PUBLISHED["LSTM"], abs=NOISE)
    assert len(found.by_epoch) == 30
