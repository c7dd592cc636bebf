"""One night's figures as plain values: what `evaluation.evaluate` finds, as kept and as named in MLflow."""

import math
import re
from dataclasses import asdict, dataclass

from stockml.evaluation.significance import DieboldMariano, Interval
from stockml.storage.records import record

WHOLE_PATH = ("mse", "half_mse", "rmse", "mae", "mase", "skill")


@dataclass(frozen=True)
class Direction:
    """Is the price higher at the direction's step? `base_rate`: how often it was. `brier`: of the chance of a rise."""

    accuracy: float | None
    base_rate: float | None
    brier: float | None


@dataclass(frozen=True)
class Score:
    """Whole paths, all leads alike. `mse`, `half_mse`: scaled; `rmse`, `mae`: in price; `mase`: in mean past steps.

    `skill_by_lead` is keyed by the lead as text; `mse_by_lead` has one scaled figure per lead, first to last.
    """

    mse: float | None
    half_mse: float | None
    rmse: float | None
    mae: float | None
    mase: float | None
    skill: float | None
    skill_by_lead: dict[str, float | None]
    mse_by_lead: tuple[float | None, ...]
    direction: Direction


@dataclass(frozen=True)
class OneStep:
    """The first step alone; never to be compared with a whole path's figures."""

    half_mse: float | None
    rmse: float | None
    mae: float | None
    skill: float | None


@dataclass(frozen=True)
class Comparison:
    """`name` against `against`: the skill's difference (> 0: better), its 95 % interval, and the test of it."""

    name: str
    against: str
    skill_difference: float | None
    interval: Interval | None
    test: DieboldMariano | None

    @property
    def p_value(self) -> float | None:
        """Two-sided p-value of the difference; None with too few origins to test."""
        return self.test.p_value if self.test else None


@record
@dataclass(frozen=True)
class Evaluation:
    """One night's figures. `first` and `last` are the outermost origins (session indices), `origins` how many."""

    origins: int
    first: int
    last: int
    horizon: int
    scores: dict[str, Score]
    one_step: dict[str, OneStep]
    comparisons: tuple[Comparison, ...]

    def comparison(self, name: str, against: str) -> Comparison | None:
        return next((c for c in self.comparisons if (c.name, c.against) == (name, against)), None)

    def metrics(self) -> dict[str, dict[str, float]]:
        """Figures by forecast (`lstm`) and name (`skill_lead_30`), the same names each night; undefined left out."""
        found: dict[str, dict[str, float | None]] = {}
        for name, score in self.scores.items():
            leads = {f"skill_lead_{lead}": value for lead, value in score.skill_by_lead.items()}
            direction = {f"direction_{figure}": value for figure, value in asdict(score.direction).items()}
            found[name] = {figure: getattr(score, figure) for figure in WHOLE_PATH} | leads | direction
        for name, step in self.one_step.items():
            found[name] |= {f"one_step_{figure}": value for figure, value in asdict(step).items()}
        for comparison in self.comparisons:
            prefix, interval, test = f"vs_{slug(comparison.against)}", comparison.interval, comparison.test
            found[comparison.name] |= {
                f"{prefix}_skill_difference": comparison.skill_difference,
                f"{prefix}_skill_low": interval.low if interval else None,
                f"{prefix}_skill_high": interval.high if interval else None,
                f"{prefix}_dm": test.statistic if test else None,
                f"{prefix}_dm_p_value": comparison.p_value,
            }
        return {
            slug(name): {figure: value for figure, value in figures.items() if value is not None}
            for name, figures in found.items()
        }


def skill_over(mse: float | None, naive: float | None) -> float | None:
    """1 − mse / naive; None where the last close made no error, or nothing is known."""
    found = math.nan if mse is None or not naive else 1 - mse / naive
    return found if math.isfinite(found) else None


def slug(name: str) -> str:
    """A forecast's name as part of a metric's: `standard average` becomes `standard_average`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
