"""A night's model is one version, of any ticker, and the aliases name the champion's and the newest
session's."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from mlflow import MlflowClient

from deployments.cli.app import run
from stockml.errors import TrackingUnavailable
from stockml.evaluation.promotion_gate import Verdict
from stockml.models.registry import Registry
from stockml.storage.files import sha256_of
from tasks.maintenance import resume_what_waited
from tests.stockml.tracking.logged import aliased, changed, client, promote, runs, versions
from tests.stockml.tracking.test_runs import Killed
from tests.support.json_fields import check_fields
from tests.support.models import write_model


def test_another_night_is_a_new_run_and_version_and_the_newest_sessions_is_the_challenger(
    tracking, night
):
    tracking.log_night(night)
    second = tracking.log_night(replace(night, key="f" * 64))
    assert len(runs(tracking)) == len(versions(tracking)) == 2
    past = replace(night, key="e" * 64, session=night.session - timedelta(days=1))
    assert tracking.log_night(past).model_version is None, "else it were the registry's newest"
    assert (len(runs(tracking)), len(versions(tracking))) == (3, 2)
    waited = replace(past, key="d" * 64, verdict=Verdict(True, "better", {}))
    assert tracking.log_night(waited).model_version == "3", "its alias needs one"
    assert str(aliased(tracking, "challenger").version) == second.model_version


def test_no_version_is_challenger_and_champion_at_once(tracking, night):
    for key, aliases in (("a", {"champion": 1}), ("b", {"champion": 1, "challenger": 2})):
        tracking.log_night(replace(night, key=key * 64))
        tracking.follow_champion("IBM", "a" * 64)
        assert client(tracking).get_registered_model("lstm-IBM").aliases == aliases
    for key in ("b", "0"):  # of which there is no version
        tracking.follow_champion("IBM", key * 64)
        assert client(tracking).get_registered_model("lstm-IBM").aliases == {"champion": 2}


def test_a_night_that_kept_the_champion_names_its_version_and_registers_none(tracking, night):
    first = tracking.log_night(night)
    kept = replace(night, key="f" * 64, mode="keep", champion_kept=True)
    tracking.follow_champion("IBM", first.key)
    tracking.log_night(replace(night, key="e" * 64))
    promote(tracking, night)
    assert tracking.log_night(kept).model_version == first.model_version
    assert len(versions(tracking)) == 2


def test_the_clean_up_lets_the_alias_follow_a_night_promoted_while_mlflow_was_away(tracking, night):
    with pytest.raises(TrackingUnavailable):
        changed(tracking, tracking_uri="http://127.0.0.1:9").keep_and_log(night)
    promote(tracking, night)
    resume_what_waited.fn(dry_run=False)
    assert aliased(tracking).tags["stockml.key"] == night.key


@pytest.fixture
def promoted(home, tracking, night):
    """The versions of three champions, by key; `c…` is the present one, of the alias too."""
    folder, found = str(write_model(home.models / "IBM" / "model")), {}
    for key in ("a" * 64, "b" * 64, "c" * 64):
        made = replace(night, key=key, model_folder=folder, model_sha256=sha256_of(folder))
        found[key] = tracking.log_night(replace(night, key=key)).model_version
        promote(tracking, made, found[key])
    tracking.follow_champion("IBM", "c" * 64)
    return found


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rollback_that_is_killed_at_the_alias_is_done_once_by_the_same_command(
    when, tracking, promoted, monkeypatch
):
    real = MlflowClient.set_registered_model_alias

    def die(*arguments):
        if when == "after":
            real(*arguments)
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(MlflowClient, "set_registered_model_alias", die)
        with pytest.raises(Killed):
            run(["rollback", "IBM"])
    assert run(["rollback", "IBM"]) == 0
    history = Registry(tracking.home.models).history("IBM")
    assert [line.key[0] for line in history] == ["a", "b", "c", "b"]
    assert str(aliased(tracking).version) == promoted["b" * 64]


def test_a_rollback_moves_the_alias_at_once_and_says_when_it_cannot(
    tracking,
    promoted,
    monkeypatch,
    capsys,
):
    assert run(["rollback", "IBM"]) == 0
    moved = f"MLflow's alias `champion` names version {promoted['b' * 64]}"
    assert capsys.readouterr().out.rstrip().endswith(moved)
    assert str(aliased(tracking).version) == promoted["b" * 64]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert run(["rollback", "IBM", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    check_fields("rollback", said)
    assert (said["key"], said["mlflow_version"]) == ("a" * 64, None)
    for part in ("MLflow at http://127.0.0.1:9 cannot be reached", "follows with the next night"):
        assert part in said["mlflow"]
    assert str(aliased(tracking).version) == promoted["b" * 64]
