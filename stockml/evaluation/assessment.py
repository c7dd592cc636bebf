"""Tonight's measurement: networks in; scores beside the baselines, bands, the verdict and the path to publish out.

Everything is measured on the test part, with networks that saw nothing of it; the bands are calibrated on the
validation part; the published path comes from the network that learned from all that is known, and follows it as far as
the skill that its held-out twin has shown. Beside it stands what the very same procedure would have published of the
trend prior alone: the difference is what the network adds. A distribution that is worse than the
strongest simple one, the pooled regression, is not published; the simple one is, and so it is without the network.

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
from stockml.evaluation.candidates import Candidate, Measured, Model, Scored, TrendPrior
from stockml.evaluation.distribution_table import BLEND, DistributionTable, SimpleForecast, distribution_table
from stockml.evaluation.evaluate import CHAMPION, LAST_CLOSE, LSTM, PUBLISHED, TREND_PRIOR, WITHOUT_NETWORK, evaluate
from stockml.evaluation.metrics import Evaluation
from stockml.evaluation.simple_distributions import POOLED
from stockml.features.windows import OriginSplit, known_outcomes, origins, split_origins
from stockml.forecasts.conformal import COVERAGES, BandScores, percent, score_bands, score_limits
from stockml.forecasts.error_scaling import absolute_volatility
from stockml.forecasts.forecast import Band, Forecast
from stockml.forecasts.shrinkage import ShrunkForecast
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
    or "pooled regression" where the distribution of that one is worse; `published` how far a network's path is
    followed, with which bands; `model` is the same for tonight's model, whoever publishes. `band_scores` are of the
    bands that are published. `distributions` are the rows by CRPS, None in what an earlier version kept.
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
    bare = Candidate.of(series, split, settings, None)
    all_of_them = {**candidates, LAST_CLOSE: bare, WITHOUT_NETWORK: prior}
    said = {name: each.published(series, test) for name, each in all_of_them.items()}
    table = distribution_table(series, test, said)
    judged = _evaluated(series, test, candidates, settings)
    promoted, reason = promotion_gate.judge(
        judged,
        kept=kept,
        incumbent=incumbent,
        rival=table.against_champion,
        replace_after=settings.replace_after_sessions,
    )
    publisher = LSTM if promoted or kept else CHAMPION if CHAMPION in candidates else LAST_CLOSE
    author = candidates.get(publisher, bare)
    used = author.combination
    with_base = table.base_is_as_good()
    published = _or_simple(said[publisher], publisher, table, series, test, with_base=with_base)
    without = _or_simple(said[WITHOUT_NETWORK], WITHOUT_NETWORK, table, series, test, with_base=False)
    rows = {**candidates, PUBLISHED: published, WITHOUT_NETWORK: without, TREND_PRIOR: prior}
    evaluation = _evaluated(series, test, rows, settings)
    if isinstance(published, SimpleForecast):
        publisher = BLEND if with_base else POOLED
        bands = score_limits(published.limits(), known_outcomes(series.mid, test, settings.horizon))
        forecast = _simple_forecast(series, upcoming, settings.direction_step, with_base=with_base)
    else:
        bands = score_bands(published.bands, series.mid, test, published.paths)
        forecast = _forecast(series, used, author.tonight, upcoming, settings.direction_step)
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
            weights=forecast.weights,
            validated_skill=used.validated_skill,
            figures=table.figures(),
        ),
        publisher=publisher,
        forecast=forecast,
        distributions=table,
        test_origins=test,
        paths={name: each.paths for name, each in candidates.items()},
    )


def _or_simple(
    own: Scored, name: str, table: DistributionTable, series: PriceSeries, test: Indices, *, with_base: bool
) -> Scored | SimpleForecast:
    """What the pool says, with or without the base network, where this one's distribution is worse."""
    if table.loses_to_the_strongest_simple(name):
        return SimpleForecast.of(series, test, own.paths.shape[1], with_base=with_base)
    return own


def _evaluated(
    series: PriceSeries, at: Indices, named: Mapping[str, Measured], settings: EvaluationSettings
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


def _forecast(
    series: PriceSeries, used: ShrunkForecast, tonight: Floats, upcoming: Sequence[date], step: int
) -> Forecast:
    """The author's path, drawn towards the last close, with the bands that were calibrated for it."""
    now, close = float(absolute_volatility(series.mid)[-1]), float(series.close[-1])
    path = used.path(np.array(close), tonight)
    limits = {coverage: used.bands.quantiles(path, now, coverage) for coverage in COVERAGES}
    rise = float(used.bands.probability_of_rise(path, now, close, step))
    return _of(series, upcoming, path, limits, rise, step, used.weights)


def _simple_forecast(series: PriceSeries, upcoming: Sequence[date], step: int, *, with_base: bool) -> Forecast:
    """The last close, with the pool's quantiles of tonight."""
    newest = np.array([len(series) - 1])
    simple = SimpleForecast.of(series, newest, len(upcoming), with_base=with_base)
    limits = {coverage: (low[0], high[0]) for coverage, (low, high) in simple.limits().items()}
    rise = float(simple.rises(series, newest, step)[0])
    return _of(series, upcoming, simple.paths[0], limits, rise, step, (0.0,) * len(upcoming))


def _of(
    series: PriceSeries,
    upcoming: Sequence[date],
    path: Floats,
    limits: Mapping[float, tuple[Floats, Floats]],
    rise: float,
    step: int,
    weights: tuple[float, ...],
) -> Forecast:
    return Forecast(
        origin=series.sessions[-1].item(),
        last_value=float(series.mid[-1]),
        sessions=tuple(upcoming),
        path=tuple(path.tolist()),
        bands=tuple(
            Band(int(percent(c)), tuple(low.tolist()), tuple(high.tolist())) for c, (low, high) in limits.items()
        ),
        probability_of_rise=rise,
        direction_step=step,
        weights=weights,
        last_close=float(series.close[-1]),
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
