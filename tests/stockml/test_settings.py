"""The one configuration: bounds are enforced by name, overrides are dotted, and the hash follows the content."""

from dataclasses import replace
from typing import Any

import pytest

from stockml.errors import InvalidSetting
from stockml.settings import NetworkSettings, settings_for


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"training.epochs": 0}, "training.epochs"),
        ({"training.learning_rate": 2.0}, "training.learning_rate"),
        ({"network.units": [0]}, "network.units"),
        ({"network.units": []}, "layers"),
        ({"network.cell": "transformer"}, "lstm, gru, peephole"),
        ({"network.dropout": 1.0}, "network.dropout"),
        ({"training.epochs": "many"}, "a int"),
        ({"training.epochs": True}, "a int"),
        ({"training.epoch": 3}, "epoch"),
        ({"nonsense": 3}, "nonsense"),
        ({"training": {"epochs": 3}}, "training"),
        ({"mode.x": 3}, "mode"),
        ({"mode": "sometimes"}, "auto, retrain, fine-tune, keep"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_bound(overrides: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSetting, match=named):
        settings_for("nightly", overrides)


def test_an_unknown_profile_is_refused_with_the_choices() -> None:
    with pytest.raises(InvalidSetting, match="nightly, tutorial"):
        settings_for("weekly")


def test_overrides_reach_the_nested_setting_and_change_the_hash() -> None:
    changed = settings_for("nightly", {"training.epochs": 9, "network.units": [8, 4], "training.learning_rate": 1})
    assert changed.training.epochs == 9
    assert changed.network.units == (8, 4)
    assert changed.training.learning_rate == 1.0
    assert changed.sha256() != settings_for("nightly").sha256()


def test_the_hash_depends_on_content_alone() -> None:
    settings = settings_for("nightly")
    assert replace(settings, network=NetworkSettings(**vars(settings.network))).sha256() == settings.sha256()


def test_the_flat_view_names_every_setting_once() -> None:
    flat = settings_for("tutorial").flat()
    assert flat["network.units"] == (200, 200, 150)
    assert all(not isinstance(value, dict) for value in flat.values())
