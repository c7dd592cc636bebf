"""Tonight's assessment: networks in; scores beside the baselines, bands, the verdict and the
forecast out.

Everything is scored on the test part, with networks that saw nothing of it, as it would have been
published then. Tonight's forecast comes, by the same procedure, from the network that learned from
all that is known. The ridge regression on the same inputs is scored too: the difference is what the
network adds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path

import numpy as np

from stockml.errors import InvalidFile
from stockml.evaluation import promotion_gate
from stockml.evaluation.candidates import Candidate, ScoringData
from stockml.evaluation.distribution_scores import DistributionTable, distribution_table, row_of
from stockml.evaluation.look_ahead import check_look_ahead
from stockml.evaluation.outlook_scores import OutlookScore, outlook_scores, touches
from stockml.evaluation.path_scores import (
    CHAMPION,
    LSTM,
    PUBLISHED,
    WITHOUT_NETWORK,
    Evaluation,
    evaluate,
)
from stockml.features.origins import OriginSplit, to_newest_units
from stockml.forecasts.forecast import Band, Forecast, Price
from stockml.forecasts.outlook import annualised, chance_above, outlooks
from stockml.forecasts.proper_scores import COVERAGES, BandScores, band, percent, score_bands
from stockml.models.regressions import MEDIAN, RIDGE
from stockml.models.trained_model import TrainedModel, unscored
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings
from stockml.storage.arrays import Floats, Indices, packed_by_name, unpacked_by_name
from stockml.storage.files import write_atomically
from stockml.storage.receipts import read_record, record, sealed, unsealed, written_record

VOLATILITY_SESSIONS = 20


@record
@dataclass(frozen=True)
class Findings:
    """What a night finds out about its models, as figures.

    `publisher` says whose distribution is published: "LSTM" (tonight's), "champion" or "ridge
    regression". `band_scores` are those of the published bands. `kept`: tonight's model is the
    champion, or forecasts the same.
    """

    session: date
    evaluation: Evaluation
    band_scores: BandScores
    verdict: promotion_gate.Verdict
    publisher: str
    forecast: Forecast
    distributions: DistributionTable
    kept: bool
    outlook_scores: tuple[OutlookScore, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Assessment(Findings):
    """The findings, with `paths` on the test part by row, (m, horizon), price, and the volatility
    expected then.

    unseen: (k,) origins of the validation and test parts.  volatility: (k,), annualised, of the
    next 20 sessions, or of the horizon if that is shorter.
    """

    test_origins: Indices
    paths: dict[str, Floats]
    unseen: Indices
    volatility: Floats


def assess(
    series: PriceSeries,
    model: TrainedModel,
    champion: TrainedModel | None,
    settings: EvaluationSettings,
    upcoming: Sequence[date],
    split: OriginSplit,
    *,
    kept: bool = False,
    unreadable: str | None = None,
) -> Assessment:
    """Score tonight's model beside the champion and every simple forecast, judge it, and make the
    forecast to publish.

    series: through tonight's session.  upcoming: the `horizon` sessions after it.  split: of the
    series' origins. kept: `model` is the champion, or forecasts the same.  unreadable: why a
    champion cannot be loaded, if so.  One that learned from tonight's unseen origins (after a
    change of the parts, say) is not scored on them. Raises LooksAhead where any row rests on a bar
    after its origin.
    """
    unseen = ScoringData.of(series, split, settings, model)
    selection = select_model(unseen, model, champion, kept=kept, unreadable=unreadable)
    candidates, publisher, table = selection.candidates, selection.publisher, selection.table
    check_look_ahead(unseen, candidates)
    published, close = candidates[row_of(publisher)], series.close[unseen.test]
    evaluation = _evaluated(unseen, candidates, published)
    prices = getattr(series, price_of(published))
    actual = prices[unseen.test[:, None] + np.arange(1, settings.horizon + 1)]
    forecast = _forecast(unseen, published, upcoming, selection.width_by)
    simple = None if publisher == RIDGE else candidates[RIDGE].test
    span = min(VOLATILITY_SESSIONS, settings.horizon)
    return Assessment(
        session=series.sessions[-1].item(),
        evaluation=evaluation,
        band_scores=score_bands(close[:, None, None] * np.exp(published.test), actual),
        verdict=promotion_gate.verdict(selection.promoted, selection.reason, evaluation, table),
        publisher=publisher,
        forecast=forecast,
        distributions=table,
        kept=kept,
        outlook_scores=tuple(
            each for each, _ in outlook_scores(series, unseen.test, published.test, simple)
        ),
        test_origins=unseen.test,
        paths={PUBLISHED: published.paths(close)},
        unseen=unseen.origins,
        volatility=annualised(published.earlier[:, span - 1], span),
    )


@dataclass(frozen=True, eq=False)
class ModelSelection:
    """Each model as it would have been published, on the same origins; who is champion, who
    publishes, whose width."""

    candidates: dict[str, Candidate]
    table: DistributionTable
    promoted: bool
    reason: str
    publisher: str
    width_by: str


def select_model(
    unseen: ScoringData,
    model: TrainedModel,
    champion: TrainedModel | None,
    *,
    kept: bool = False,
    unreadable: str | None = None,
    simple_rows: bool = True,
) -> ModelSelection:
    """Measure the models as they would have been published, let the gate decide, and choose what is
    published.

    simple_rows: whether the table includes the simple forecasts. Otherwise as `assess`.
    """
    incumbent = None
    if champion and not kept:
        age = int((unseen.series.sessions > champion.published.learned_until).sum())
        incumbent = promotion_gate.Incumbent(age, unscored(champion, np.datetime64(unseen.first)))
    elif unreadable:
        incumbent = promotion_gate.Incumbent(0, unreadable)
    models: dict[str, TrainedModel | None] = {LSTM: model, RIDGE: None}
    if champion and incumbent and incumbent.unscored is None:
        models[CHAMPION] = champion
    candidates = {name: Candidate.of(unseen, each) for name, each in models.items()}
    table = distribution_table(unseen, candidates, simple_rows=simple_rows)
    challenger, replace_after = candidates[LSTM], unseen.settings.replace_after_sessions
    promoted, reason = promotion_gate.judge(
        table,
        kept=kept,
        has_network=challenger.has_network,
        incumbent=incumbent,
        replace_after=replace_after,
    )
    network_row = CHAMPION if CHAMPION in candidates and not promoted else LSTM
    has_network = candidates[network_row].has_network
    worse = table.is_worse(network_row, clearly=not candidates[network_row].forecasts_path)
    publisher = network_row if has_network and not worse else RIDGE
    adds = table.over_simple.get(network_row) if has_network else None
    publishing = models.get(publisher)
    width_by = publishing.published.width_by if publishing else RIDGE
    return ModelSelection(
        candidates, replace(table, network_adds=adds), promoted, reason, publisher, width_by
    )


def price_of(candidate: Candidate) -> Price:
    """Of which price the candidate is a forecast: the tutorial's network forecasts mid prices, all
    others closes."""
    return "mid" if candidate.forecasts_path else "close"


def _evaluated(
    unseen: ScoringData, candidates: Mapping[str, Candidate], published: Candidate
) -> Evaluation:
    """Score the paths: the published one and the networks' own, where they forecast one.

    All prices are turned into tonight's units, as averages and the scale of errors span changes of
    units.
    """
    series, test, settings = unseen.series, unseen.test, unseen.settings
    shown = {name: each for name, each in candidates.items() if each.forecasts_path}
    without = {WITHOUT_NETWORK: candidates[RIDGE]} if shown else {}
    shown |= {PUBLISHED: published, **without}
    step, units = settings.direction_step, to_newest_units(series)
    rises = {name: each.rises(step) for name, each in shown.items()}
    paths = {
        name: units[test, None] * each.paths(series.close[test]) for name, each in shown.items()
    }
    prices = series.mid if LSTM in paths else series.close
    return evaluate(units * prices, test, paths, settings, rises, close=units * series.close)


def _forecast(
    unseen: ScoringData, published: Candidate, upcoming: Sequence[date], width_by: str
) -> Forecast:
    series, step = unseen.series, unseen.settings.direction_step
    quantiles, close, price = published.tonight[0], series.close[-1], price_of(published)
    prices = close * np.exp(quantiles)
    ends = {
        coverage: [tuple(end.tolist()) for end in band(prices, coverage)] for coverage in COVERAGES
    }
    return Forecast(
        origin=series.sessions[-1].item(),
        last_value=float(getattr(series, price)[-1]),
        sessions=tuple(upcoming),
        path=tuple(prices[:, MEDIAN].tolist()),
        bands=tuple(
            Band(int(percent(coverage)), low, high) for coverage, (low, high) in ends.items()
        ),
        probability_of_rise=float(chance_above(quantiles[step - 1], 0.0)),
        direction_step=step,
        weights=(float(width_by != RIDGE),) * len(quantiles),
        last_close=float(close),
        outlook=outlooks(published.earlier, quantiles),
        price=price,
        width_by=width_by,
        touches=touches(series, unseen.test, published.test, quantiles),
    )


def write_assessment(assessment: Assessment, folder: Path) -> None:
    """Write `assessment.json` and `paths.npz`; equal assessments give equal bytes."""
    arrays = {
        "origins": assessment.test_origins,
        "unseen": assessment.unseen,
        "volatility": assessment.volatility,
    }
    write_atomically(folder / "paths.npz", packed_by_name(arrays | assessment.paths))
    findings = Findings(**{each.name: getattr(assessment, each.name) for each in fields(Findings)})
    write_atomically(folder / "assessment.json", sealed(written_record(findings)))


def read_assessment(folder: Path) -> Assessment:
    """The inverse of `write_assessment`. Raises InvalidFile."""
    try:
        findings = read_record(Findings, unsealed((folder / "assessment.json").read_bytes()))
        arrays = unpacked_by_name((folder / "paths.npz").read_bytes())
        origins, unseen, volatility = (
            arrays.pop(name) for name in ("origins", "unseen", "volatility")
        )
        return Assessment(
            **vars(findings),
            test_origins=origins,
            unseen=unseen,
            volatility=volatility,
            paths=arrays,
        )
    except (OSError, ValueError, KeyError) as error:
        raise InvalidFile(
            str(folder), f"expected an assessment, found {error}; run that night again"
        ) from error
