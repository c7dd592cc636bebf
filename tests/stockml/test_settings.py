"""The one configuration: bounds are enforced by name, overrides are dotted, and the hash follows
the content."""

import json

import pytest

from stockml.errors import InvalidSetting
from stockml.settings import night_settings, settings_for, settings_from_dict


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"training.epochs": 0}, "training.epochs"),
        ({"network.units": []}, "layers"),
        ({"network.cell": "transformer"}, "lstm, gru, peephole"),
        ({"training.epochs": "many"}, "a whole number"),
        ({"training.epochs": True}, "a whole number"),
        ({"training.epoch": 3}, "epoch"),
        ({"nonsense.x": 3}, "nonsense"),
        ({"training.self": 3}, "training.self"),
        ({"training.steps": 0}, "training.steps to be between 1 and 1000, found 0"),
        (
            {"network.units": [8]},
            r"network.units to be \(48, 48\): a night trains the pretrained network further",
        ),
        ({"training": 3}, "a TrainingSettings"),
        ({"network.units": 64}, r"a list such as \[16\]"),
        ({"network.units": [1] * 7}, "layers to be between 1 and 6, found 7"),
        ({"network.units": ["a"]}, "network.units to be between 1 and 1024, found 'a'"),
        ({"network.dropout": float("nan")}, "network.dropout to be between 0.0 and 0.9, found nan"),
        (
            {"evaluation.horizon": 20},
            "evaluation.direction_step to be between 1 and the horizon, 20, found 30",
        ),
        ({"mode.x": 3}, "mode"),
        ({"mode": "sometimes"}, "auto, retrain, fine-tune, keep"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_bound(overrides, named):
    with pytest.raises(InvalidSetting, match=named):
        settings_for("nightly", overrides)


def test_an_unknown_profile_is_refused_with_the_choices():
    with pytest.raises(InvalidSetting, match="nightly, tutorial"):
        settings_for("weekly")


def test_overrides_reach_the_nested_setting_and_change_the_hash():
    changed = settings_for(
        "tutorial", {"training.epochs": 9, "network.units": [8, 4], "training.learning_rate": 1}
    )
    training = changed.training
    assert (training.epochs, training.learning_rate, changed.network.units) == (9, 1.0, (8, 4))
    assert changed.sha256() != settings_for("tutorial").sha256()
    bounding = dict.fromkeys(("evaluation.horizon", "evaluation.direction_step"), 20)
    assert settings_for("nightly", bounding).evaluation.horizon == 20, "they bound each other"


@pytest.mark.parametrize(
    ("profile", "sha256"),
    [
        ("nightly", "8671565ebad6683f38a67df84afd2ae51c5832150614391d623bea2dac82a40a"),
        ("tutorial", "f7074b96db218ee39a68aa589c69ad63736ddc84df2fcc2f84df0954d6a3136e"),
    ],
)
def test_a_profile_keeps_the_hash_under_which_nights_were_recorded(profile, sha256):
    assert settings_for(profile).sha256() == sha256


@pytest.mark.parametrize(
    "overrides", [{}, {"network.dropout": 0.1, "training.learning_rate": 1, "mode": "keep"}]
)
@pytest.mark.parametrize("profile", ["nightly", "tutorial"])
def test_settings_are_read_from_json_as_they_were_written(profile, overrides):
    settings = settings_for(profile, overrides)
    assert settings_from_dict(json.loads(json.dumps(settings.model_dump()))) == settings


@pytest.mark.parametrize(
    ("profile", "name"),
    [
        ("nightly", "training.epochs"),
        ("nightly", "policy.scale_drift"),
        ("tutorial", "training.steps"),
    ],
)
def test_a_setting_that_does_nothing_in_its_profile_is_no_nights(profile, name):
    both = {"evaluation.horizon": 40, "network.dropout": 0.1, "training.learning_rate": 1e-3}
    both["mode"] = "retrain"
    night_settings(settings_for(profile, both))
    idle = f"{name} to be left as it is: it does nothing in the {profile} profile"
    with pytest.raises(InvalidSetting, match=idle):
        night_settings(settings_for(profile, {**both, name: 7}))
