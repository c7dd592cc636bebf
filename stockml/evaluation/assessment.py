"""Tonight's measurement: networks in; scores beside the baselines, bands, the verdict and the path to publish out.

Everything is measured on the test part, with networks that saw nothing of it; the bands are calibrated on the
validation part; the published path comes from the network that learned from all that is known, and follows it as far as
the skill that its held-out twin has shown.

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
from stockml.evaluation.candidates import Candidate, Model, Scored
from stockml.evaluation.evaluate import CHAMPION, LSTM, PUBLISHED, evaluate
from stockml.evaluation.metrics import Evaluation
from stockml.features.windows import OriginSplit, origins, split_origins
from stockml.forecasts.conformal import COVERAGES, BandScores, percent, score_bands
from stockml.forecasts.error_scaling import absolute_volatility
from stockml.forecasts.forecast import Band, Forecast
from stockml.forecasts.shrinkage import ShrunkForecast
from stockml.models.baselines import LAST_VALUE
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.storage.arrays import Floats, Indices
from stockml.storage.files import write_atomically
from stockml.storage.records import read_record, record, written_record


@record
@dataclass(frozen=True)
class Findings:
    """What a night knows of its models, as figures.

    `publisher` says whose path is published, as far as its skill allows: "LSTM" (tonight's), "champion" or "last
    value"; `published` how far, with which bands; `band_scores` are of those bands. `model` is the same for tonight's
    model, whoever publishes.
    """

    session: date
    evaluation: Evaluation
    published: ShrunkForecast
    model: ShrunkForecast
    band_scores: BandScores
    verdict: promotion_gate.Verdict
    publisher: str
    forecast: Forecast


@dataclass(frozen=True)
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
    """Score tonight's model beside the champion and the baselines, judge, calibrate, and make the path to publish.

    series: through tonight's session. upcoming: the `horizon` sessions after it. kept: `model` is the champion itself.
    A champion that learned from tonight's test part (after a change of the parts, say) is not scored on it.
    """
    split = split_origins(len(series), settings)
    models = {LSTM: model}
    if champion is not None and not kept and _unseen(champion, series, split):
        models[CHAMPION] = champion
    candidates = {name: Candidate.of(series, split, settings, each) for name, each in models.items()}
    test, mid = origins(split.test, settings.origin_every), series.mid
    judged = _evaluated(mid, test, candidates, settings)
    promoted = promotion_gate.judge(judged, kept=kept).promoted
    publisher = LSTM if promoted or kept else CHAMPION if CHAMPION in candidates else LAST_VALUE
    author = candidates.get(publisher) or Candidate.of(series, split, settings, None)
    said, used = author.published(mid, test), author.combination
    return Assessment(
        session=series.sessions[-1].item(),
        evaluation=_evaluated(mid, test, {**candidates, PUBLISHED: said}, settings),
        published=used,
        model=candidates[LSTM].combination,
        band_scores=score_bands(said.bands, mid, test, said.paths),
        verdict=promotion_gate.judge(judged, kept=kept, weights=used.weights, validated_skill=used.validated_skill),
        publisher=publisher,
        forecast=_forecast(series, used, used.path(mid[-1], author.tonight), upcoming, settings.direction_step),
        test_origins=test,
        paths={name: each.paths for name, each in candidates.items()},
    )


def _evaluated(mid: Floats, at: Indices, named: Mapping[str, Scored], settings: EvaluationSettings) -> Evaluation:
    paths = {name: each.paths for name, each in named.items()}
    rises = {name: each.rises(mid, at, settings.direction_step) for name, each in named.items()}
    return evaluate(mid, at, paths, settings, rises)


def _unseen(model: Model, series: PriceSeries, split: OriginSplit) -> bool:
    return bool(model.held_out.learned_until < series.sessions[split.test.start])


def _forecast(
    series: PriceSeries, used: ShrunkForecast, published: Floats, upcoming: Sequence[date], step: int
) -> Forecast:
    mid, now = series.mid, float(absolute_volatility(series.mid)[-1])
    limits = {coverage: used.bands.quantiles(published, now, coverage) for coverage in COVERAGES}
    return Forecast(
        origin=series.sessions[-1].item(),
        last_value=float(mid[-1]),
        sessions=tuple(upcoming),
        path=tuple(published.tolist()),
        bands=tuple(
            Band(int(percent(c)), tuple(low.tolist()), tuple(high.tolist())) for c, (low, high) in limits.items()
        ),
        probability_of_rise=float(used.bands.probability_of_rise(published, now, float(mid[-1]), step)),
        direction_step=step,
        weights=used.weights,
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
