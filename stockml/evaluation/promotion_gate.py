"""Who is champion after tonight, and why. Pure: figures in, a verdict out.

Never here: files, MLflow, or a figure that was not computed tonight on the same origins for all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from stockml.errors import quantity
from stockml.evaluation.distribution_scores import CrpsComparison, DistributionTable
from stockml.evaluation.path_scores import (
    CHAMPION,
    LAST_CLOSE,
    LSTM,
    PUBLISHED,
    WITHOUT_NETWORK,
    Evaluation,
)
from stockml.forecasts.proper_scores import is_clear, p_text

# of the CRPS: a test finds any regular difference, however small, but less than this helps nobody
NOTICEABLE = 1e-3
BETTER, WORSE = "better", "worse"
COULD_BE_LUCK = "the difference could be luck"


@dataclass(frozen=True)
class Verdict:
    """The decision: `reason` is for a person; `numbers` are what it rests on, undefined ones left
    out."""

    promoted: bool
    reason: str
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Incumbent:
    """The champion that tonight may know.  age: sessions since it last learned.  unscored: why it
    has no score."""

    age: int
    unscored: str | None = None


def judge(
    table: DistributionTable,
    *,
    kept: bool,
    has_network: bool,
    incumbent: Incumbent | None,
    replace_after: int,
) -> tuple[bool, str]:
    """Decide by the whole distribution whether tonight's model becomes champion; return that and
    the reason.

    table: tonight's rows, on the same origins.  kept: the challenger is the champion, or forecasts
    the same. replace_after: sessions after which a champion gives way to a challenger that is as
    good. Prices must have moved, and it must have a network that is not worse, beyond the noise,
    than the ridge regression. It then replaces a champion that is missing, unscored, noticeably and
    clearly worse, or no better and at least `replace_after` old.
    """
    if kept:
        return False, "no other network tonight: the champion stays"
    stays = "the champion stays" if incumbent else "no champion yet"
    if not has_network:
        return False, f"no network tonight: {stays}"
    over = table.over_simple.get(LSTM)
    if over is None:
        return False, f"no price moved, so nothing can be scored: {stays}"
    if table.is_worse(LSTM, clearly=True):
        _, by = _difference(over)
        return False, f"worse than the ridge regression ({by}): {stays}"
    if incumbent is None:
        return True, f"first model; {'no sign that it hurts' if over.test else 'too new to judge'}"
    return _against_champion(incumbent, table.against_champion, replace_after)


def _against_champion(
    incumbent: Incumbent, comparison: CrpsComparison | None, replace_after: int
) -> tuple[bool, str]:
    if incumbent.unscored is not None:
        return (
            True,
            f"the champion has no score ({incumbent.unscored}): replaced without a comparison",
        )
    kind, figures = _difference(comparison)
    if kind == BETTER:
        return True, f"{kind} than the champion: {figures}"
    if kind == WORSE:
        return False, f"{kind}: {figures}; it stays"
    if incumbent.age >= replace_after:
        return (
            True,
            f"{kind}, and the champion is {quantity(incumbent.age, 'session')} old: {figures}",
        )
    return (
        False,
        f"{kind}: {figures}; the champion of {quantity(incumbent.age, 'session')} ago stays",
    )


def _difference(comparison: CrpsComparison | None) -> tuple[str, str]:
    """The kind of difference, and the figures that show it."""
    if comparison is None:
        return "no comparison", "the price stood still on the same origins"
    whose = "the champion's" if comparison.reference == CHAMPION else "its"
    figures = f"CRPS skill {comparison.skill:+z.2%} against {whose} on the same origins"
    if comparison.test is None:
        return COULD_BE_LUCK, f"{figures}, too few to test"
    figures = f"{figures}, p {p_text(comparison.test.p_value)}"
    if not is_clear(comparison.p_value):
        return COULD_BE_LUCK, figures
    if abs(comparison.skill) < NOTICEABLE:
        return "too small a difference to matter", figures
    return (BETTER if comparison.skill > 0 else WORSE), figures


def verdict(
    promoted: bool, reason: str, evaluation: Evaluation, table: DistributionTable
) -> Verdict:
    """The decision with the numbers that it and the published forecast rest on."""
    scores, adds = evaluation.scores, evaluation.comparison(PUBLISHED, WITHOUT_NETWORK)
    models = {
        who: scores[row]
        for who, row in (("challenger", LSTM), ("champion", CHAMPION))
        if row in scores
    }
    numbers = {
        "origins": float(evaluation.origins),
        **{f"{who}_mse": score.mse for who, score in models.items()},
        **{f"{who}_skill": score.skill for who, score in models.items()},
        "published_skill": scores[PUBLISHED].skill,
        "last_close_mse": scores[LAST_CLOSE].mse,
        "network_adds": adds.skill_difference if adds else None,
        "network_adds_p_value": adds.p_value if adds else None,
        **table.figures(),
    }
    return Verdict(
        promoted, reason, {name: value for name, value in numbers.items() if value is not None}
    )
