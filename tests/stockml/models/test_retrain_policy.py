"""The facts decide, an explicit mode wins where it is possible, and the reason says which it
was."""

import pytest

from stockml.models.trained_model import Facts, decide
from stockml.settings import PolicySettings

POLICY = PolicySettings()


@pytest.mark.parametrize(
    ("mode", "said", "known"),
    [
        ("retrain", "no champion", {"no_champion": "no champion yet"}),
        ("retrain", "settings and code changed", {"changed": ("settings", "code")}),
        ("retrain", "it has seen too much", {"unscored": "it has seen too much"}),
        ("retrain", "21 sessions", {"sessions_since_retrain": 21}),
        ("retrain", "2.10", {"scale_drift": 2.1}),
        ("retrain", "-0.300", {"live_skill": -0.3}),
        ("fine-tune", "1 new session", {"sessions_since_retrain": 20}),
        ("fine-tune", "1 new session", {"scale_drift": POLICY.scale_drift}),
        ("fine-tune", "1 new session", {"live_skill": POLICY.live_skill_floor}),
        ("keep", "nothing new", {"new_sessions": 0}),
    ],
)
def test_auto_follows_the_facts(mode, said, known):
    decision = decide(Facts(**{"new_sessions": 1, **known}), "auto", POLICY)
    assert decision.mode == mode
    assert said in decision.reason


@pytest.mark.parametrize(
    ("wanted", "mode", "known"),
    [
        ("retrain", "retrain", {}),
        ("fine-tune", "fine-tune", {"scale_drift": 9.0}),
        ("fine-tune", "fine-tune", {"changed": ("code",)}),
        ("keep", "keep", {"changed": ("settings",)}),
        ("fine-tune", "retrain", {"changed": ("settings",)}),
        ("fine-tune", "retrain", {"unscored": "it has seen it"}),
        ("keep", "retrain", {"unscored": "it has seen it"}),
        ("fine-tune", "retrain", {"no_champion": "no champion yet"}),
        ("keep", "retrain", {"no_champion": "no champion yet"}),
    ],
)
def test_an_explicit_mode_wins_where_it_is_possible(wanted, mode, known):
    decision = decide(Facts(**known), wanted, POLICY)
    assert decision.mode == mode
    assert (decision.reason == "asked for") is (wanted == mode)
