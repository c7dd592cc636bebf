"""The facts decide, an explicit mode wins where it is possible, and the reason says which it
was."""

from dataclasses import replace

import pytest

from stockml.models.retrain_policy import Chosen, Decision, Facts, decide
from stockml.settings import Mode, PolicySettings

POLICY = PolicySettings()
FRESH = Facts(new_sessions=1)
UNSCORED = "the champion cannot be scored: it has seen it"


@pytest.mark.parametrize(
    ("facts", "mode", "reason"),
    [
        (Facts("no champion yet"), "retrain", "no champion"),
        (replace(FRESH, changed=("settings",)), "retrain", "settings changed"),
        (replace(FRESH, changed=("code",)), "retrain", "code changed"),
        (replace(FRESH, changed=("settings", "code")), "retrain", "settings and code changed"),
        (replace(FRESH, changed=("price adjustment",)), "retrain", "adjustment changed"),
        (replace(FRESH, changed=("pretrained network",)), "retrain", "pretrained network changed"),
        (
            Facts("the champion cannot be continued: an earlier version's"),
            "retrain",
            "cannot be continued",
        ),
        (
            replace(FRESH, unscored="it has seen too much"),
            "retrain",
            "the champion cannot be scored: it has seen too much",
        ),
        (
            replace(FRESH, sessions_since_retrain=21),
            "retrain",
            "21 sessions since the last full training",
        ),
        (replace(FRESH, sessions_since_retrain=20), "fine-tune", "1 new session"),
        (
            replace(FRESH, scale_drift=2.1),
            "retrain",
            "scale drifted: the price is 2.10 half ranges from the middle",
        ),
        (replace(FRESH, live_skill=-0.3), "retrain", "live skill -0.300 fell"),
        (replace(FRESH, scale_drift=POLICY.scale_drift), "fine-tune", "1 new session"),
        (replace(FRESH, live_skill=POLICY.live_skill_floor), "fine-tune", "1 new session"),
        (replace(FRESH, new_sessions=3), "fine-tune", "3 new sessions"),
        (replace(FRESH, new_sessions=0), "keep", "nothing new"),
    ],
)
def test_auto_follows_the_facts(facts: Facts, mode: str, reason: str) -> None:
    decision = decide(facts, "auto", POLICY)
    assert decision.mode == mode
    assert reason in decision.reason


@pytest.mark.parametrize(
    ("facts", "wanted", "mode", "reason"),
    [
        (replace(FRESH, new_sessions=0), "retrain", "retrain", "asked for"),
        (Facts("no champion yet"), "retrain", "retrain", "asked for"),
        (replace(FRESH, scale_drift=9.0), "fine-tune", "fine-tune", "asked for"),
        (replace(FRESH, changed=("code",)), "keep", "keep", "asked for"),
        (replace(FRESH, changed=("settings",)), "keep", "keep", "asked for"),
        (
            replace(FRESH, changed=("settings",)),
            "fine-tune",
            "retrain",
            "settings changed since the champion learned",
        ),
        (replace(FRESH, unscored="it has seen it"), "fine-tune", "retrain", UNSCORED),
        (replace(FRESH, unscored="it has seen it"), "keep", "retrain", UNSCORED),
        (Facts("no champion yet"), "fine-tune", "retrain", "no champion yet"),
        (Facts("no champion yet"), "keep", "retrain", "no champion yet"),
    ],
)
def test_an_explicit_mode_wins_where_it_is_possible(
    facts: Facts, wanted: Mode, mode: Chosen, reason: str
) -> None:
    asked = "" if wanted == mode else f" ({wanted} was asked for)"
    assert decide(facts, wanted, POLICY) == Decision(mode, f"{reason}{asked}")
