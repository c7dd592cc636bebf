"""A champion that a person sets in MLflow is honoured as a rollback; whatever else happens, the
alias follows."""

import shutil
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from stockml.models.registry import Registry
from stockml.storage.files import sha256_of
from stockml.tracking.client import Tracking
from stockml.tracking.models import honour
from tests.stockml.tracking.logged import NOW, aliased, changed, client, promote


@dataclass(frozen=True)
class Nights:
    """Nights `a` and `b`, whose models were champions in turn, and `c`, whose model was not
    promoted."""

    tracking: Tracking
    versions: dict[str, str]

    def set_by_hand(self, key):
        client(self.tracking).set_registered_model_alias("lstm-IBM", "champion", self.versions[key])

    def honoured(self):
        return honour(self.tracking.home, "IBM", at=NOW + timedelta(days=1))

    @property
    def history(self):
        lines = Registry(self.tracking.home.models).history("IBM")
        return [f"{line.event} {line.key[0]}" for line in lines]

    @property
    def alias(self):
        return str(aliased(self.tracking).tags["stockml.key"][0])


@pytest.fixture
def nights(tracking, night):
    versions = {}
    for key in "abc":
        folder = str(shutil.copytree(night.model_folder, tracking.home.models / "IBM" / key))
        made = replace(night, key=key * 64, model_folder=folder, model_sha256=sha256_of(folder))
        versions[key] = str(tracking.keep_and_log(made).model_version)
        if key != "c":
            promote(tracking, made, versions[key])
            tracking.follow_champion("IBM", key * 64)
    return Nights(tracking, versions)


@pytest.mark.parametrize("key", ["a", "c"])
def test_a_champion_set_by_hand_is_a_rollback_whether_it_was_champion_before_or_not(key, nights):
    nights.set_by_hand(key)
    nights.tracking.follow_champion("IBM", "b" * 64)
    assert nights.alias == key, "no night undoes it before one has seen it"
    set_to = f"somebody set MLflow's alias `champion` to version {nights.versions[key]}: the model"
    assert nights.honoured().startswith(set_to)
    assert nights.history == ["promote a", "promote b", f"rollback {key}"]
    champion = Registry(nights.tracking.home.models).champion("IBM")
    assert (champion.key, champion.reason) == (key * 64, "set by hand in MLflow")
    assert champion.intact()
    assert (nights.honoured(), len(nights.history)) == ("", 3), "once"
    nights.tracking.follow_champion("IBM", "b" * 64)
    assert nights.alias == "b", "a night that promotes moves it again"


def test_a_rollback_goes_back_from_a_champion_set_by_hand(nights):
    nights.set_by_hand("c")
    nights.honoured()
    registry = Registry(nights.tracking.home.models)
    assert registry.rollback("IBM", at=NOW, reason="by command").key[0] == "b"


def test_an_alias_that_is_behind_because_mlflow_was_away_is_nobodys_choice(nights):
    champion = Registry(nights.tracking.home.models).champion("IBM")
    Registry(nights.tracking.home.models).promote(replace(champion, key="c" * 64))
    assert (nights.honoured(), nights.alias) == ("", "b")
    nights.tracking.follow_champion("IBM", "c" * 64)
    assert nights.alias == "c"


@pytest.mark.parametrize("lost", ["models/IBM/c", "models/IBM/c/model.json", "nights/IBM"])
def test_a_version_whose_model_is_not_here_is_said_and_changes_nothing(lost, nights, home):
    nights.set_by_hand("c")
    (home.root / lost).rename(home.root / "lost")
    said = "whose model is not in this home: 2013-02-28's stays champion"
    assert nights.honoured().endswith(said)
    assert nights.history == ["promote a", "promote b"]


def test_mlflow_being_away_or_a_ticker_without_champion_changes_nothing(nights):
    nights.set_by_hand("a")
    away = changed(nights.tracking, tracking_uri="http://127.0.0.1:9")
    assert (honour(away.home, "IBM", at=NOW), nights.history) == ("", ["promote a", "promote b"])
    assert honour(nights.tracking.home, "AAPL", at=NOW) == ""


def test_a_command_that_rolls_back_moves_the_alias_over_a_persons(nights):
    nights.set_by_hand("c")
    assert nights.tracking.follow_champion("IBM", "a" * 64, over_hand=True) == nights.versions["a"]
    assert (nights.alias, nights.honoured()) == ("a", "")
