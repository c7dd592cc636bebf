"""Who is champion after tonight, and what is published. Pure: figures in, a verdict out.

Never here: files, MLflow, or a figure that was not computed tonight on the same origins for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stockml.evaluation.distribution_scores import CrpsComparison
from stockml.evaluation.evaluate import CHAMPION, LAST_CLOSE, LSTM, PUBLISHED, WITHOUT_NETWORK
from stockml.evaluation.metrics import Evaluation

SIGNIFICANT = 0.05
NOTICEABLE = 1e-3  # of the CRPS: a test finds any regular difference, however small, and less than this helps nobody
BETTER, WORSE = "better", "worse"
NO_SKILL = "no skill shown: publishing the last close"


@dataclass(frozen=True)
class Verdict:
    """`reason` is for a person; `numbers` are what it rests on, without those that are not defined."""

    promoted: bool
    reason: str
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Incumbent:
    """The champion that tonight may know.  age: sessions since it last learned.  unscored: why it has no score."""

    age: int
    unscored: str | None = None


def judge(
    evaluation: Evaluation,
    *,
    kept: bool = False,
    incumbent: Incumbent | None = None,
    rival: CrpsComparison | None = None,
    replace_after: int = 20,
) -> tuple[bool, str]:
    """Whether tonight's model becomes champion, and why: the whole distribution is judged, with its noise.

    evaluation: tonight's.  kept: no training took place, the challenger is the champion itself.  rival: the challenger
    against the champion, by CRPS on the same origins; None where there is no champion, it has no score, or it made no
    error.
    replace_after: sessions after which a champion gives way to a challenger that is as good.

    It becomes champion when it is better by more than the noise, noticeably, or as good and that much fresher; without
    a champion, when it does not significantly lose to the last close.
    """
    if kept:
        return False, "no training tonight: the champion stays"
    if evaluation.scores[LSTM].mse is None:
        return False, "the challenger has no score: " + ("the champion stays" if incumbent else "no champion yet")
    naive = evaluation.comparison(LSTM, LAST_CLOSE)
    if naive and naive.test and naive.test.p_worse < SIGNIFICANT:
        stays = "the champion stays" if incumbent else "registered, not promoted; no champion yet"
        return False, f"the challenger loses significantly to the last close: {stays}"
    if incumbent is None:
        return True, "the first champion: no significant loss against the last close"
    return _against(incumbent, rival, replace_after)


def _against(incumbent: Incumbent, rival: CrpsComparison | None, replace_after: int) -> tuple[bool, str]:
    if incumbent.unscored is not None:
        return True, f"the champion has no score ({incumbent.unscored}): replaced without a comparison"
    kind, told = _told(rival)
    if kind == BETTER:
        return True, f"{kind} than the champion: {told}"
    if kind == WORSE:
        return False, f"{kind}: {told}; it stays"
    if incumbent.age >= replace_after:
        return True, f"{kind}, and the champion is {incumbent.age} sessions old: {told}"
    return False, f"{kind}: {told}; the champion of {incumbent.age} sessions ago stays"


def _told(rival: CrpsComparison | None) -> tuple[str, str]:
    if rival is None:
        return "no comparison", "the champion's distribution made no error on the same origins"
    found = f"CRPS {rival.skill:+.2%} against the champion's on the same origins"
    if rival.test is None:
        return "within the noise", f"{found}, too few to test"
    found = f"{found}, p {rival.test.p_value:.2f}"
    if rival.test.p_value >= SIGNIFICANT:
        return "within the noise", found
    if abs(rival.skill) < NOTICEABLE:
        return "too small a difference to matter", found
    return (BETTER if rival.skill > 0 else WORSE), found


def verdict(
    promoted: bool,
    reason: str,
    evaluation: Evaluation,
    *,
    weights: Sequence[float],
    validated_skill: float | None,
    figures: Mapping[str, float | None],
) -> Verdict:
    """The decision with the numbers that it, and what is published, rest on.  figures: of the distributions."""
    numbers = _numbers(evaluation) | {"validated_skill": validated_skill} | dict(figures)
    if weights:
        numbers |= {"weight_of_first_lead": weights[0], "weight_of_last_lead": weights[-1]}
    return Verdict(promoted, reason, {name: value for name, value in numbers.items() if value is not None})


def publishes(weights: Sequence[float]) -> str:
    """What tonight's path is made of, in words.  weights: the model's share at each lead, 0 … 1, never rising."""
    first, last = weights[0], weights[-1]
    if first <= 0:
        return NO_SKILL
    if f"{last:.0%}" == "100%":
        return "the model's path"
    if f"{first:.0%}" == f"{last:.0%}":
        return f"{first:.0%} of the model's move, the rest last close"
    until = sum(weight > 0 for weight in weights)
    ends = f"at lead {len(weights)}" if until == len(weights) else f"from lead {until + 1}"
    return f"{first:.0%} of the model's move at lead 1, {last:.0%} {ends}"


def _numbers(evaluation: Evaluation) -> dict[str, float | None]:
    score, champion = evaluation.scores[LSTM], evaluation.scores.get(CHAMPION)
    naive, adds = evaluation.comparison(LSTM, LAST_CLOSE), evaluation.comparison(PUBLISHED, WITHOUT_NETWORK)
    return {
        "origins": float(evaluation.origins),
        "challenger_mse": score.mse,
        "champion_mse": champion.mse if champion else None,
        "last_close_mse": evaluation.scores[LAST_CLOSE].mse,
        "challenger_skill": score.skill,
        "champion_skill": champion.skill if champion else None,
        "p_worse_than_last_close": naive.test.p_worse if naive and naive.test else None,
        "network_adds": adds.skill_difference if adds else None,
        "network_adds_p_value": adds.test.p_value if adds and adds.test else None,
    }
