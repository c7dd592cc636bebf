"""Tonight's measurement: networks in; scores beside the baselines, bands, the verdict and the path to publish out.

Everything is measured on the test part, with networks that saw nothing of it; the bands are calibrated on the
validation part; the published path comes from the network that learned from all that is known, and follows it as far as
the skill that its held-out twin has shown. Beside it stands what the very same procedure would have published of the
trend prior alone: the difference is what the network adds. A distribution that is significantly worse than the
strongest simple one, the pooled regression, is not published; the simple one is.

Never here: training, MLflow, Prefect.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path

import numpy as np

from stockml.errors import InvalidFile
from stockml.evaluation import promotion_gate
from stockml.evaluation.candidates import Candidate, Model, Scored, TrendPrior
from stockml.evaluation.distribution_table import DistributionTable, distribution_table, simple_quantiles
from stockml.evaluation.evaluate import CHAMPION, LAST_CLOSE, LSTM, PUBLISHED, TREND_PRIOR, WITHOUT_NETWORK, evaluate
from stockml.evaluation.metrics import Evaluation
from stockml.evaluation.proper_scores import band
from stockml.evaluation.simple_distributions import POOLED
from stockml.features.windows import OriginSplit, known_outcomes, origins, split_origins
from stockml.forecasts.conformal import COVERAGES, BandScores, percent, score_bands, score_limits
from stockml.forecasts.error_scaling import absolute_volatility
from stockml.forecasts.forecast import Band, Forecast
from stockml.forecasts.shrinkage import ShrunkForecast
from stockml.models.pooled_regression import LEVELS
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.storage.arrays import Floats, Indices
from stockml.storage.files import write_atomically
from stockml.storage.records import read_record, record, written_record


@record
@dataclass(frozen=True)
class Findings:
    """What a night knows of its models, as figures.

    `publisher` says whose path is published, as far as its skill allows: "LSTM" (tonight's), "champion", "last close",
    or "pooled regression" where no network's distribution is as good as that; `published` how far, with which bands;
    `band_scores` are of those bands. `model` is the same for tonight's model, whoever publishes. `distributions` are
    the rows by CRPS, None in what an earlier version kept.
    """

    session: date
    evaluation: Evaluation
    published: ShrunkForecast
    model: ShrunkForecast
    band_scores: BandScores
    verdict: promotion_gate.Verdict
    publisher: str
    forecast: Forecast
    distributions: DistributionTable | None = None


@dataclass(frozen=True, kw_only=True)
class Assessment(Findings):
    """The findings with the test part's `paths`, by contender: (origins, horizon), price."""

    test_origins: Indices
    paths: dict[str, Floats]


def assess(
    series: PriceSeries,
    model: Model,
    champion: Model | None,
    settings: EvaluationSettings,
    upcoming: Sequence[date],
    *,
    kept: bool = False,
) -> Assessment:
    """Score tonight's model beside the champion and every simple forecast, judge, calibrate, and make what to publish.

    series: through tonight's session. upcoming: the `horizon` sessions after it. kept: `model` is the champion itself.
    A champion that learned from tonight's test part (after a change of the parts, say) is not scored on it.
    """
    split = split_origins(len(series), settings)
    test = origins(split.test, settings.origin_every)
    incumbent = None if champion is None or kept else _incumbent(champion, series, split)
    models: dict[str, Model] = {LSTM: model}
    if incumbent and champion and incumbent.unscored is None:
        models[CHAMPION] = champion
    candidates = {name: Candidate.of(series, split, settings, each) for name, each in models.items()}
    prior = Candidate.of(series, split, settings, TrendPrior(settings.horizon))
    without = prior.published(series, test)
    said = {name: each.published(series, test) for name, each in candidates.items()}
    table = distribution_table(series, test, {**said, WITHOUT_NETWORK: without})
    judged = _evaluated(series, test, candidates, settings)
    promoted, reason = promotion_gate.judge(
        judged,
        kept=kept,
        incumbent=incumbent,
        rival=table.against_champion,
        replace_after=settings.replace_after_sessions,
    )
    publisher = LSTM if promoted or kept else CHAMPION if CHAMPION in candidates else LAST_CLOSE
    author = candidates.get(publisher) or Candidate.of(series, split, settings, None)
    used = author.combination
    tonight = said.get(publisher) or author.published(series, test)
    bands, simple = score_bands(tonight.bands, series.mid, test, tonight.paths), None
    if publisher in said and table.loses_to_the_strongest_simple(publisher):
        publisher, simple = POOLED, simple_quantiles(series, np.array([len(series) - 1]), settings.horizon)
        tonight = Candidate.of(series, split, settings, None).published(series, test)
        bands = _simple_bands(series, test, settings.horizon)
    rows = {**candidates, PUBLISHED: tonight, WITHOUT_NETWORK: without, TREND_PRIOR: prior}
    evaluation = _evaluated(series, test, rows, settings)
    return Assessment(
        session=series.sessions[-1].item(),
        evaluation=evaluation,
        published=used,
        model=candidates[LSTM].combination,
        band_scores=bands,
        verdict=promotion_gate.verdict(
            promoted,
            reason,
            evaluation,
            weights=used.weights,
            validated_skill=used.validated_skill,
            figures=table.figures(),
        ),
        publisher=publisher,
        forecast=_forecast(
            series, used, author.tonight, upcoming, settings.direction_step, None if simple is None else simple[0]
        ),
        distributions=table,
        test_origins=test,
        paths={name: each.paths for name, each in candidates.items()},
    )


def _evaluated(
    series: PriceSeries, at: Indices, named: Mapping[str, Scored], settings: EvaluationSettings
) -> Evaluation:
    paths = {name: each.paths for name, each in named.items()}
    rises = {name: each.rises(series, at, settings.direction_step) for name, each in named.items()}
    return evaluate(series.mid, at, paths, settings, rises, close=series.close)


def _incumbent(champion: Model, series: PriceSeries, split: OriginSplit) -> promotion_gate.Incumbent:
    age = int((series.sessions > champion.published.learned_until).sum())
    first = series.sessions[split.test.start]
    seen = champion.held_out.learned_until
    unscored = None if seen < first else f"it has seen sessions through {seen}, the test part begins on {first}"
    return promotion_gate.Incumbent(age, unscored)


def _simple_bands(series: PriceSeries, test: Indices, horizon: int) -> BandScores:
    """Of the pooled regression's bands, from the vintage that had seen nothing of the test part."""
    quantiles = simple_quantiles(series, test, horizon)
    assert quantiles is not None  # else nothing would have been compared with it
    return score_limits(_limits(series.close[test, None], quantiles), known_outcomes(series.mid, test, horizon))


def _limits(close: Floats, quantiles: Floats) -> dict[float, tuple[Floats, Floats]]:
    sides = {coverage: band(quantiles, LEVELS, coverage) for coverage in COVERAGES}
    return {coverage: (close * np.exp(low), close * np.exp(high)) for coverage, (low, high) in sides.items()}


def _forecast(
    series: PriceSeries,
    used: ShrunkForecast,
    tonight: Floats,
    upcoming: Sequence[date],
    step: int,
    simple: Floats | None,
) -> Forecast:
    """Of the author's path, or where `simple` (horizon, 21) is given, of those quantiles of the log move."""
    mid, close = series.mid, float(series.close[-1])
    if simple is None:
        path, now = used.path(np.array(close), tonight), float(absolute_volatility(mid)[-1])
        limits = {coverage: used.bands.quantiles(path, now, coverage) for coverage in COVERAGES}
        rise, weights = float(used.bands.probability_of_rise(path, now, close, step)), used.weights
    else:
        path, weights = np.full(len(simple), close), (0.0,) * len(simple)
        limits = _limits(np.array(close), simple)
        rise = float(1 - np.interp(0.0, simple[step - 1], LEVELS))
    return Forecast(
        origin=series.sessions[-1].item(),
        last_value=float(mid[-1]),
        sessions=tuple(upcoming),
        path=tuple(path.tolist()),
        bands=tuple(
            Band(int(percent(c)), tuple(low.tolist()), tuple(high.tolist())) for c, (low, high) in limits.items()
        ),
        probability_of_rise=rise,
        direction_step=step,
        weights=weights,
        last_close=close,
    )


def write_assessment(assessment: Assessment, folder: Path) -> None:
    """Write `assessment.json` and `paths.npz`; equal assessments give equal bytes."""
    arrays = io.BytesIO()
    np.savez(arrays, origins=assessment.test_origins, **assessment.paths)  # type: ignore[arg-type]
    write_atomically(folder / "paths.npz", arrays.getvalue())
    findings = Findings(**{each.name: getattr(assessment, each.name) for each in fields(Findings)})
    write_atomically(folder / "assessment.json", written_record(findings))


def read_assessment(folder: Path) -> Assessment:
    """The inverse of `write_assessment`. Raises InvalidFile."""
    try:
        findings = read_record(Findings, (folder / "assessment.json").read_bytes())
        with np.load(folder / "paths.npz", allow_pickle=False) as arrays:
            paths = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError) as error:
        raise InvalidFile(str(folder), f"expected an assessment, found {error}; run that night again") from error
    return Assessment(**vars(findings), test_origins=paths.pop("origins"), paths=paths)
