"""What the clean-up may take from MLflow: models first, then runs; a champion's and a person's own
stay."""

from dataclasses import replace
from datetime import timedelta

import pytest

from stockml.errors import TrackingUnavailable
from stockml.tracking.runs import empty_trash, remove
from tests.stockml.tracking.logged import NOW, changed, client, experiment, runs, versions


@pytest.fixture
def nights(tracking, night):
    """Four nights of one ticker, oldest first; no version is the challenger."""
    days = (night.finished_at + timedelta(day) for day in range(4))
    logged = [
        tracking.keep_and_log(replace(night, key=f"{day:%j}", finished_at=day)) for day in days
    ]
    client(tracking).delete_registered_model_alias("lstm-IBM", "challenger")
    return logged


def removed(
    tracking,
    before,
    newest,
    kept=(),
    *,
    dry_run=False,
):
    """How many runs went, and of how many others the model."""
    days = {"before": before, "newest": newest, "trash_days": 0, "kept_keys": kept}
    gone = remove(tracking.home, **days, dry_run=dry_run)  # type: ignore[arg-type]
    return len(gone.runs), len(gone.models)


def test_models_beyond_the_newest_go_then_old_runs_with_all_their_files(tracking, nights):
    champion, _, _, newest = nights
    long_ago, soon = NOW - timedelta(days=1_000), NOW + timedelta(days=200)
    folder = tracking.home.root / "artifacts"
    assert removed(tracking, long_ago, 1, [champion.key], dry_run=True) == (0, 2)
    assert len(versions(tracking)) == len(list(folder.rglob("MLmodel"))) == 4
    assert removed(tracking, long_ago, 1, [champion.key]) == (0, 2)
    left = {champion.mlflow_run_id, newest.mlflow_run_id}
    assert {version.run_id for version in versions(tracking)} == left
    assert len(list(folder.rglob("MLmodel"))) == 2
    assert len(runs(tracking)) == len(list(folder.rglob("night.json"))) == 4
    assert removed(tracking, long_ago, 1, [champion.key]) == (0, 0)
    assert removed(tracking, soon, 1, [champion.key]) == (2, 0)
    assert {run.info.run_id for run in runs(tracking)} == left
    assert len(list(folder.rglob("night.json"))) == 2


@pytest.mark.campaign
def test_what_a_person_made_or_named_by_an_alias_is_never_old(tracking, nights):
    """A run of their own, a night's model that they registered under a name of theirs, and one with
    an alias."""
    reached, (favourite, named, _, newest) = client(tracking), nights
    page = experiment(tracking).experiment_id
    begun = reached.create_run(page, start_time=1, run_name="a person's")
    reached.set_terminated(begun.info.run_id)
    of_run = {version.run_id: version for version in versions(tracking)}
    source = of_run[favourite.mlflow_run_id].source
    reached.create_registered_model("favourites")
    reached.create_model_version("favourites", source, favourite.mlflow_run_id)
    reached.set_registered_model_alias("lstm-IBM", "mine", str(named.model_version))
    assert removed(tracking, NOW + timedelta(days=200), 1) == (1, 0)
    kept = {begun.info.run_id, *(each.mlflow_run_id for each in (favourite, named, newest))}
    assert {run.info.run_id for run in runs(tracking)} == kept


def test_nights_of_another_home_that_logs_to_the_same_mlflow_stay(tracking, nights, tmp_path):
    other = changed(tracking, root=tmp_path / "other")
    assert removed(other, NOW + timedelta(days=200), 1) == (0, 0)


def test_a_trash_that_cannot_be_emptied_says_why(tracking, tmp_path):
    (tmp_path / "mlflow.db").write_text("no database at all")
    damaged = changed(tracking, tracking_uri=f"sqlite:///{tmp_path}/mlflow.db").home
    with pytest.raises(TrackingUnavailable, match=r"`mlflow gc` failed: .*file is not a database"):
        empty_trash(damaged, 1)
