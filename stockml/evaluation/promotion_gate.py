"""Who is champion after tonight, and what is published. Pure: an evaluation in, a verdict out.

Never here: files, MLflow, or a figure that was not computed tonight on the same origins for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stockml.evaluation.evaluate import CHAMPION, LSTM
from stockml.evaluation.metrics import Evaluation
from stockml.models.baselines import LAST_VALUE

SIGNIFICANT = 0.05
NO_SKILL = "no skill shown: publishing last value"


@dataclass(frozen=True)
class Verdict:
    """`reason` is for a person; `numbers` are what it rests on, without those that are not defined."""

    promoted: bool
    reason: str
    numbers: Mapping[str, float]


def judge(
    evaluation: Evaluation,
    *,
    challenger: str = LSTM,
    kept: bool = False,
    weights: Sequence[float] = (),
    validated_skill: float | None = None,
) -> Verdict:
    """Promote the challenger only if it beats the champion and does not significantly lose to the last value.

    evaluation: tonight's, with the champion re-scored on the same origins under the name "champion", if there is one.
    kept: no training took place tonight, the challenger is the champion itself.
    weights, validated_skill: of what is published, kept among the numbers; they decide nothing here.

    Without a champion, the first model that does not significantly lose to the last value becomes it; until one does,
    the last value is published with its bands, and the models are registered but not promoted.
    """
    mse = evaluation.scores[challenger].mse
    champion = evaluation.scores[CHAMPION].mse if CHAMPION in evaluation.scores else None
    numbers = _numbers(evaluation, challenger) | {"validated_skill": validated_skill}
    if weights:
        numbers |= {"weight_of_first_lead": weights[0], "weight_of_last_lead": weights[-1]}
    loses = _loses(numbers["p_worse_than_last_value"])
    promoted, reason = _decide(mse, champion, CHAMPION in evaluation.scores, loses, kept)
    return Verdict(promoted, reason, {name: value for name, value in numbers.items() if value is not None})


def publishes(weights: Sequence[float]) -> str:
    """What tonight's path is made of, in words.  weights: the model's share at each lead, 0 … 1, never rising."""
    first, last = weights[0], weights[-1]
    if first <= 0:
        return NO_SKILL
    if f"{last:.0%}" == "100%":
        return "the model's path"
    if f"{first:.0%}" == f"{last:.0%}":
        return f"{first:.0%} of the model's move, the rest last value"
    until = sum(weight > 0 for weight in weights)
    ends = f"at lead {len(weights)}" if until == len(weights) else f"from lead {until + 1}"
    return f"{first:.0%} of the model's move at lead 1, {last:.0%} {ends}"


def _decide(mse: float | None, champion: float | None, has_champion: bool, loses: bool, kept: bool) -> tuple[bool, str]:
    if kept:
        return False, "no training tonight: the champion stays"
    if mse is None:
        return False, "the challenger has no score: " + ("the champion stays" if has_champion else "no champion yet")
    if loses:
        stays = "the champion stays" if has_champion else "registered, not promoted; no champion yet"
        return False, f"the challenger loses significantly to the last value: {stays}"
    if not has_champion:
        return True, "the first champion: no significant loss against the last value"
    if champion is None or mse < champion:
        return True, f"beats the champion, MSE {mse:.6g} against {_text(champion)}, on the same origins"
    return False, f"does not beat the champion, MSE {mse:.6g} against {champion:.6g}, on the same origins: it stays"


def _loses(p_worse: float | None) -> bool:
    """A loss that luck would seldom explain. Where no test is possible, nothing is significant."""
    return p_worse is not None and p_worse < SIGNIFICANT


def _numbers(evaluation: Evaluation, challenger: str) -> dict[str, float | None]:
    score = evaluation.scores[challenger]
    champion = evaluation.scores.get(CHAMPION)
    naive = evaluation.comparison(challenger, LAST_VALUE)
    rival = evaluation.comparison(challenger, CHAMPION)
    return {
        "origins": float(evaluation.origins),
        "challenger_mse": score.mse,
        "champion_mse": champion.mse if champion else None,
        "last_value_mse": evaluation.scores[LAST_VALUE].mse,
        "challenger_skill": score.skill,
        "champion_skill": champion.skill if champion else None,
        "p_worse_than_last_value": naive.test.p_worse if naive and naive.test else None,
        "p_worse_than_champion": rival.test.p_worse if rival and rival.test else None,
    }


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
