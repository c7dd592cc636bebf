"""The facts decide, an explicit mode wins where it is possible, and the reason says which it
was."""

from dataclasses import replace

import pytest

from stockml.models.trained_model import Chosen, Facts, decide
from stockml.settings import Mode, PolicySettings

POLICY = PolicySettings()
FRESH = Facts(new_sessions=1)
NOTHING_NEW = Facts()
NONE = Facts("no champion yet")


@pytest.mark.parametrize(
    ("facts", "mode", "said"),
    [
        (NONE, "retrain", "no champion"),
        (replace(FRESH, changed=("settings", "code")), "retrain", "settings and code changed"),
        (replace(FRESH, unscored="it has seen too much"), "retrain", "it has seen too much"),
        (replace(FRESH, sessions_since_retrain=21), "retrain", "21 sessions"),
        (replace(FRESH, sessions_since_retrain=20), "fine-tune", "1 new session"),
        (replace(FRESH, scale_drift=2.1), "retrain", "2.10"),
        (replace(FRESH, live_skill=-0.3), "retrain", "-0.300"),
        (replace(FRESH, scale_drift=POLICY.scale_drift), "fine-tune", "1 new session"),
        (replace(FRESH, live_skill=POLICY.live_skill_floor), "fine-tune", "1 new session"),
        (NOTHING_NEW, "keep", "nothing new"),
    ],
)
def test_auto_follows_the_facts(facts: Facts, mode: str, said: str) -> None:
    decision = decide(facts, "auto", POLICY)
    assert decision.mode == mode
    assert said in decision.reason


@pytest.mark.parametrize(
    ("facts", "wanted", "mode"),
    [
        (NOTHING_NEW, "retrain", "retrain"),
        (replace(FRESH, scale_drift=9.0), "fine-tune", "fine-tune"),
        (replace(FRESH, changed=("code",)), "fine-tune", "fine-tune"),
        (replace(FRESH, changed=("settings",)), "keep", "keep"),
        (replace(FRESH, changed=("settings",)), "fine-tune", "retrain"),
        (replace(FRESH, unscored="it has seen it"), "fine-tune", "retrain"),
        (replace(FRESH, unscored="it has seen it"), "keep", "retrain"),
        (NONE, "fine-tune", "retrain"),
        (NONE, "keep", "retrain"),
    ],
)
def test_an_explicit_mode_wins_where_it_is_possible(
    facts: Facts, wanted: Mode, mode: Chosen
) -> None:
    decision = decide(facts, wanted, POLICY)
    assert decision.mode == mode
    assert (decision.reason == "asked for") is (wanted == mode)
