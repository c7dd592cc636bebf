"""Retrain, fine-tune or keep: decided from facts, with the reason in words. Pure."""

from dataclasses import dataclass
from typing import Literal

from stockml.errors import quantity
from stockml.settings import Mode, PolicySettings

Chosen = Literal["retrain", "fine-tune", "keep", "pretrained"]  # the last: training did not help


@dataclass(frozen=True)
class Facts:
    """What is known tonight. Counts are sessions; without a champion only `no_champion` matters.

    `no_champion`: why there is none to continue from, None where there is one; `unscored`: why it
    cannot be scored on tonight's unseen origins, None where it can; `changed`: what differs tonight
    from when it learned. `scale_drift`, the tutorial's only: half ranges from the middle of the
    last window to the price, at least 1. `live_skill`, the tutorial's only: of the published paths
    in the ledger, None until enough have come due.
    """

    no_champion: str | None = None
    unscored: str | None = None
    changed: tuple[str, ...] = ()
    new_sessions: int = 0
    sessions_since_retrain: int = 0
    scale_drift: float = 1.0
    live_skill: float | None = None


@dataclass(frozen=True)
class Decision:
    """What tonight's training does, and why."""

    mode: Chosen
    reason: str


def decide(facts: Facts, mode: Mode, policy: PolicySettings) -> Decision:
    """Choose tonight's mode: `mode` where possible, else retrain; for `auto`, what the facts call
    for."""
    if mode == "retrain":
        return Decision("retrain", "asked for")
    matters = [
        name
        for name in facts.changed
        if mode == "auto" or (mode, name) == ("fine-tune", "settings")
    ]
    changed = f"{' and '.join(matters)} changed since the champion learned" if matters else None
    unscored = f"the champion cannot be scored: {facts.unscored}" if facts.unscored else None
    impossible = facts.no_champion or changed or unscored
    if mode != "auto":
        asked = f"{mode} was asked for"
        return (
            Decision("retrain", f"{impossible} ({asked})")
            if impossible
            else Decision(mode, "asked for")
        )
    if why := impossible or _stale(facts, policy):
        return Decision("retrain", why)
    if facts.new_sessions > 0:
        return Decision("fine-tune", quantity(facts.new_sessions, "new session"))
    return Decision("keep", "nothing new since the champion learned")


def _stale(facts: Facts, policy: PolicySettings) -> str | None:
    """Why the champion should be replaced rather than continued."""
    if facts.sessions_since_retrain > policy.retrain_after_sessions:
        age = f"{facts.sessions_since_retrain} sessions since the last full training"
        return f"{age}, more than {policy.retrain_after_sessions}"
    if facts.scale_drift > policy.scale_drift:
        drift = (
            f"the price is {facts.scale_drift:.2f} half ranges from the middle of the last window "
            "that was learned"
        )
        return f"scale drifted: {drift}, more than {policy.scale_drift:.2f}"
    if facts.live_skill is not None and facts.live_skill < policy.live_skill_floor:
        return f"live skill {facts.live_skill:+.3f} fell below {policy.live_skill_floor:+.3f}"
    return None
