"""Tonight's measurement: networks in; scores beside the baselines, bands, the verdict and the path to publish out.

Everything is measured on the test part, with networks that saw nothing of it; the bands are calibrated on the
validation part; the published path comes from the network that learned from all that is known.

Never here: training, MLflow, Prefect.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stockml import gate
from stockml.baselines import BASELINES, LAST_VALUE
from stockml.config import EvaluationSettings
from stockml.errors import InvalidFile
from stockml.evaluation import CHAMPION, Evaluation, evaluate
from stockml.intervals import COVERAGES, Bands, BandScores, percent, score_bands, volatility
from stockml.night import LSTM, Band, Forecast, as_text, forecast_from
from stockml.normalise import PriceSeries
from stockml.receipts import write_atomically
from stockml.windows import Parts, origins, parts

Values = NDArray[np.float64]
Indices = NDArray[np.int64]


class Paths(Protocol):
    """Anything that forecasts: `paths(series, origins)` gives (len(origins), horizon) mid prices, causally."""

    def paths(self, series: PriceSeries, origins: Indices, /) -> Values: ...


class Model(Protocol):
    """The two networks of a night; `learned_until` of the scored one must lie before what it is scored on."""

    @property
    def held_out(self) -> Any: ...
    @property
    def published(self) -> Any: ...
    @property
    def shrinkage(self) -> float: ...


@dataclass(frozen=True)
class Assessment:
    """What a night knows of its models. `paths` are the test part's, by contender: (origins, horizon), price.

    `bands` belong to the path that is published, `model_bands` to tonight's model. `publisher` says whose path that is:
    "LSTM" (tonight's), "champion" or "last value".
    """

    session: date
    evaluation: Evaluation
    bands: Bands
    model_bands: Bands
    band_scores: BandScores
    verdict: gate.Verdict
    publisher: str
    forecast: Forecast
    test_origins: Indices
    paths: dict[str, Values]


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
    mid, split = series.mid, parts(len(series), settings)
    test = origins(split.test, settings.origin_every)
    rival = champion if champion is not None and not kept and _unseen(champion, series, split) else None
    contenders = {LSTM: model} | ({CHAMPION: rival} if rival else {})
    bands = {name: _calibrated(mid, split, settings, each.held_out, series) for name, each in contenders.items()}
    paths = {name: each.held_out.paths(series, test) for name, each in contenders.items()}
    rises = {
        name: bands[name].probability_of_rise(path, volatility(mid)[test], mid[test], settings.direction_step)
        for name, path in paths.items()
    }
    evaluation = evaluate(mid, test, paths, settings, rises)
    verdict = gate.judge(evaluation, weight=model.shrinkage, challenger=LSTM, kept=kept)
    publisher = LSTM if verdict.promoted or kept else CHAMPION if rival else LAST_VALUE
    author = contenders.get(publisher)
    weight = author.shrinkage if author else 0.0
    used = bands[publisher] if author else _calibrated(mid, split, settings, BASELINES[LAST_VALUE], series)
    path = author.published.paths(series, np.array([len(mid) - 1]))[0] if author else None
    return Assessment(
        session=series.sessions[-1].item(),
        evaluation=evaluation,
        bands=used,
        model_bands=bands[LSTM],
        band_scores=score_bands(bands[LSTM], mid, test, paths[LSTM]),
        verdict=gate.judge(evaluation, weight=weight, challenger=LSTM, kept=kept),
        publisher=publisher,
        forecast=_forecast(series, used, path, weight, upcoming, settings.direction_step),
        test_origins=test,
        paths=paths,
    )


def _unseen(model: Model, series: PriceSeries, split: Parts) -> bool:
    return bool(model.held_out.learned_until < series.sessions[split.test.start])


def _calibrated(mid: Values, split: Parts, settings: EvaluationSettings, held_out: Any, series: PriceSeries) -> Bands:
    validation = origins(split.validation, settings.origin_every)
    if hasattr(held_out, "paths"):
        return Bands.fit(mid, validation, held_out.paths(series, validation))
    return Bands.fit(mid, validation, held_out.path(mid, validation, settings.horizon))


def _forecast(
    series: PriceSeries, bands: Bands, path: Values | None, weight: float, upcoming: Sequence[date], step: int
) -> Forecast:
    mid = series.mid
    published = np.full(bands.horizon, mid[-1]) if path is None or weight == 0.0 else path
    now = float(volatility(mid)[-1])
    limits = {coverage: bands.quantiles(published, now, coverage) for coverage in COVERAGES}
    return Forecast(
        origin=series.sessions[-1].item(),
        last_value=float(mid[-1]),
        sessions=tuple(upcoming),
        path=tuple(published.tolist()),
        bands=tuple(
            Band(int(percent(c)), tuple(low.tolist()), tuple(high.tolist())) for c, (low, high) in limits.items()
        ),
        probability_of_rise=float(bands.probability_of_rise(published, now, float(mid[-1]), step)),
        direction_step=step,
        weight=weight,
    )


def write_assessment(assessment: Assessment, folder: Path) -> None:
    """Write `assessment.json` and `paths.npz`; equal assessments give equal bytes."""
    arrays = io.BytesIO()
    np.savez(arrays, origins=assessment.test_origins, **assessment.paths)  # type: ignore[arg-type]
    write_atomically(folder / "paths.npz", arrays.getvalue())
    record = {
        "session": assessment.session.isoformat(),
        "evaluation": assessment.evaluation.asdict(),
        "bands": assessment.bands.asdict(),
        "model_bands": assessment.model_bands.asdict(),
        "band_scores": assessment.band_scores.asdict(),
        "verdict": asdict(assessment.verdict),
        "publisher": assessment.publisher,
        "forecast": asdict(assessment.forecast),
    }
    text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False, default=as_text)
    write_atomically(folder / "assessment.json", text.encode())


def read_assessment(folder: Path) -> Assessment:
    """The inverse of `write_assessment`. Raises InvalidFile."""
    try:
        record = json.loads((folder / "assessment.json").read_text())
        with np.load(folder / "paths.npz", allow_pickle=False) as arrays:
            paths = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError) as error:
        raise InvalidFile(str(folder), f"expected an assessment, found {error!r}; run that night again") from error
    return Assessment(
        session=date.fromisoformat(record["session"]),
        evaluation=Evaluation.fromdict(record["evaluation"]),
        bands=Bands.fromdict(record["bands"]),
        model_bands=Bands.fromdict(record["model_bands"]),
        band_scores=BandScores.fromdict(record["band_scores"]),
        verdict=gate.Verdict(**record["verdict"]),
        publisher=record["publisher"],
        forecast=forecast_from(record["forecast"]),
        test_origins=paths.pop("origins"),
        paths=paths,
    )
