"""A pretrained network learned at home is kept as a vintage, registered once, and used by nights
after its last session."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from stockml.errors import DiskFull, TooFewTickers
from stockml.evaluation.pretrain import MIN_TICKERS, SHARE, pretrain_network
from stockml.home import current_home
from stockml.models.vintage_set import VintageSet
from stockml.models.vintage_store import SHIPPED
from stockml.tracking import views
from stockml.tracking.client import Tracking
from stockml.tracking.study_runs import log_pretrained
from stockml.training.pretrain import PretrainProgress
from tests.stockml.tracking.logged import unfilled
from tests.support.small_disk import files_of_at_most
from tests.support.walks import walk

pytestmark = pytest.mark.slow

SESSIONS = 220
QUICK: dict[str, Any] = {"seeds": 1, "fewest_sessions": SESSIONS}


class Killed(Exception):
    """Stands in for a kill."""


def killed_when_trained(row):
    if row.seconds_left == 0:
        raise Killed


@cache
def tickers(count):
    return {
        f"T{i:02d}": walk(SESSIONS, seed=i, volatility=0.008 + 0.0005 * i) for i in range(count)
    }


@pytest.fixture(scope="module")
def learned(installation):
    """A pretrained network whose pretraining was killed once trained but not yet scored, beside a
    half-written file, then resumed."""
    heard: list[PretrainProgress] = []
    series = tickers(MIN_TICKERS)
    asked = installation, series, series["T00"].sessions[-1].item()
    with pytest.raises(Killed):
        pretrain_network(*asked, **QUICK, on_epoch=killed_when_trained)
    # room for the regressions, and not for the pretrained network
    with files_of_at_most(40_000), pytest.raises(DiskFull):
        pretrain_network(*asked, **QUICK)
    assert not list(installation.pretrained.glob("[!.]*")), "nights see no unfinished pretraining"
    (begun,) = (installation.root / "pretraining").iterdir()
    (begun / "._checkpoint.npz.7-7.tmp").touch()
    made = pretrain_network(*asked, **QUICK, on_epoch=heard.append)
    assert [row.epoch for row in heard] == [*range(1, 9)]
    return made


@pytest.mark.campaign
def test_pretraining_again_reports_the_same_epochs_and_leaves_the_same_file(learned, installation):
    """How long each epoch took is reported too, and would differ if it were trained again."""
    pretrained, path = learned
    before, told = path.read_bytes(), []
    for _ in range(2):
        heard: list[PretrainProgress] = []
        pretrain_network(
            installation, tickers(MIN_TICKERS), pretrained.through, **QUICK, on_epoch=heard.append
        )
        told.append(heard)
    assert told[0] == told[1]
    assert path.read_bytes() == before


def test_a_network_says_how_it_scored_and_only_nights_after_its_last_session_use_it(
    learned, installation
):
    pretrained, path = learned
    assert path.name == f"network-{pretrained.through:%Y-%m}.npz"
    assert len(pretrained.tickers) == MIN_TICKERS
    assert 0 <= pretrained.scores[SHARE] <= 100
    before, after = (
        VintageSet.ending_before(
            pretrained.through + timedelta(days=days), (installation.pretrained, SHIPPED)
        ).pretrained.through
        for days in (0, 1)
    )
    assert before < after == pretrained.through


def test_a_pretrained_network_is_registered_in_mlflow_once_and_explained_there(
    learned, installation
):
    from mlflow import MlflowClient

    tracking, now = Tracking(installation), datetime(2026, 1, 2, tzinfo=UTC)
    epochs = [PretrainProgress(f"seed {seed}", 1, 1, 0.25, 45.0, 0.0) for seed in (1, 2)]
    begun = MlflowClient(tracking.home.tracking_uri, tracking.home.tracking_uri)
    log_pretrained(tracking, *learned, epochs, now=now)
    begun.delete_model_version("lstm-pretrained", "1")  # as if killed before it was registered
    versions = {
        log_pretrained(tracking, *learned, epochs, now=now + timedelta(hours=1)) for _ in range(2)
    }
    assert versions == {"2"}
    found = begun.get_model_version("lstm-pretrained", "2")
    losses = [
        begun.get_metric_history(found.run_id, f"training/loss seed {seed}") for seed in (1, 2)
    ]
    assert [[point.step for point in loss] for loss in losses] == [[1], [1]]
    run = begun.get_run(found.run_id)
    times = run.info.end_time - run.info.start_time, run.info.end_time
    assert times == (90_000, 1000 * now.timestamp())
    assert found.tags["vintage"] == f"{learned[0].through:%Y-%m}"
    assert found.source.endswith(learned[1].name)
    assert f"across {MIN_TICKERS} tickers, {learned[0].origins:,} origins" in found.description
    assert unfilled(run, views.pretrained_view()) == []
    assert views.NOTE in begun.get_experiment(run.info.experiment_id).tags


def test_too_few_tickers_are_refused_with_the_way_out(tmp_path):
    place, until = current_home({"STOCKML_HOME": str(tmp_path)}), date(2002, 1, 1)
    for count, fewest, found in ((30, SESSIONS + 1, 0), (29, SESSIONS, 29)):
        says = f"at least 30 tickers of {fewest} sessions by {until}.*found {found}"
        with pytest.raises(TooFewTickers, match=says):
            pretrain_network(place, tickers(count), until, fewest_sessions=fewest)
    assert not place.pretrained.exists()
