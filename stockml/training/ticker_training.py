"""A ticker's own training: a correction of the base by the ticker's errors, used only where it has helped.

`held_out` starts from a base that ends before the first unseen origin, and learns from outcomes known by then;
`published` starts from the newest base and learns from all outcomes. The correction is compared with the base left
alone on the validation part; unless training was asked for, it is used only if it was better there.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from stockml.features.origins import OriginSplit, check_segments, scored_origins, split_origins, within_segment
from stockml.forecasts.proper_scores import crps
from stockml.models.lead_grid import LEADS, lead_basis, moves
from stockml.models.pooled_regression import MIN_RETURNS, ORIGIN_STRIDE
from stockml.models.pooled_vintages import SHIPPED
from stockml.models.retrain_policy import Decision
from stockml.models.ticker_network import TickerNetwork, WidthCorrection, width_errors
from stockml.models.trained_model import Evidence, Network, TrainedModel
from stockml.models.vintage_set import VintageSet, oldest_through
from stockml.prices.calendar import A_DAY
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings, Settings
from stockml.storage.arrays import Indices

MAX_ORIGINS = 1_500  # the newest of a long history; all earlier ones would weigh less than a twelfth
ORIGINS_AT_ONCE = 500  # so that a long history needs no more memory than a short one


def split_after_vintages(
    series: PriceSeries, evaluation: EvaluationSettings, folders: Sequence[Path] = (SHIPPED,)
) -> OriginSplit:
    """Split the origins, the unseen ones after the oldest vintage.  Raises TooFewBars, also for a recent hole."""
    oldest = oldest_through(folders)
    first = 0 if oldest is None else len(series.through(oldest))
    if first >= len(series) - evaluation.horizon:  # no vintage is old enough: scores do without one
        first = 0
    split = split_origins(len(series), evaluation, first)
    check_segments(series, split, evaluation)
    return split


def train_ticker(
    series: PriceSeries,
    settings: Settings,
    decision: Decision,
    *,
    start: TrainedModel | None,
    folders: Sequence[Path] = (SHIPPED,),
) -> TrainedModel:
    """Train from scratch, or continue from `start`'s errors if its vintages are still tonight's. Raises TooFewBars."""
    split = split_after_vintages(series, settings.evaluation, folders)
    first, after = series.sessions[split.validation.start], series.sessions[-1] + A_DAY
    vintages, newest = (VintageSet.ending_before(day.item(), folders) for day in (first, after))
    held_out = fit_ticker_network(series, start.held_out if start else None, split.validation.start, vintages)
    evidence = _evidence(held_out, series, split, settings.evaluation)
    is_used = evidence is not None and (settings.mode in ("retrain", "fine-tune") or evidence.skill > 0)
    published = fit_ticker_network(series, start.published if start else None, len(series), newest)
    held_out, published = replace(held_out, corrected=is_used), replace(published, corrected=is_used)
    return TrainedModel(
        settings=settings,
        decision=_with_evidence(decision, evidence, held_out),
        held_out=held_out,
        published=published,
        parts=split,
        sessions=len(series),
        last_session=series.sessions[-1],
        retrained_at=series.sessions[-1] if start is None else start.retrained_at,
        evidence=evidence,
    )


def fit_ticker_network(series: PriceSeries, start: Network | None, stop: int, vintages: VintageSet) -> TickerNetwork:
    """Learn, continuing `start`, from outcomes known before session `stop`, on vintages that end before it."""
    known = series.until(stop)
    errors, seen = WidthCorrection(), known.sessions[-1]
    if vintages.regression is not None:
        if start and start.vintages and start.vintages.identity() == vintages.identity():
            # with other settings, parts may begin earlier than last night's; nothing can be unlearned
            errors = start.errors if start.learned_until <= seen else errors
        origins = new_origins(errors, known)
        for at in (origins[first : first + ORIGINS_AT_ONCE] for first in range(0, len(origins), ORIGINS_AT_ONCE)):
            errors = errors.updated(width_errors(vintages, series, at), known.sessions[at[-1]])
        seen = max(seen, np.datetime64(vintages.through))
    return TickerNetwork(vintages, errors, corrected=True, learned_until=seen)


def new_origins(errors: WidthCorrection, known: PriceSeries) -> Indices:
    """(m,) origins with known outcomes not yet in `errors`, at most the newest MAX_ORIGINS: every fifth session from
    index 25, so that continuing equals learning from scratch, except for older origins that the latter leaves out."""
    first = ORIGIN_STRIDE * (MIN_RETURNS // ORIGIN_STRIDE + 1)
    grid = within_segment(known, np.arange(first, len(known) - LEADS[-1], ORIGIN_STRIDE), LEADS[-1])
    return (grid if errors.through is None else grid[known.sessions[grid] > errors.through])[-MAX_ORIGINS:]


def _evidence(
    network: TickerNetwork, series: PriceSeries, split: OriginSplit, evaluation: EvaluationSettings
) -> Evidence | None:
    at = scored_origins(series, split.validation, evaluation)
    if not len(at) or network.vintages.base is None or network.errors.weight == 0:
        return None
    leads = np.array([lead for lead in LEADS if lead <= evaluation.horizon])
    actual = moves(series, at, leads)
    base = network.vintages.network_quantiles(series, at, leads)
    corrected = base * np.exp(lead_basis(leads) @ network.errors.coefficients()[0])[:, None]
    loss, reference = (float((crps(each, actual) / np.sqrt(leads)).mean()) for each in (corrected, base))
    return Evidence(1 - loss / reference, len(at)) if reference > 0 else None


def _with_evidence(decision: Decision, evidence: Evidence | None, network: TickerNetwork) -> Decision:
    """The decision with the gain of the ticker's own training; to keep the base where that is not used."""
    if network.vintages.base is None:
        return Decision("keep", f"nothing to train: {'; '.join(network.vintages.reasons.values())}")
    if evidence is None:
        has_learned, short = network.errors.weight > 0, "the history is too short to learn from"
        why = "no unseen moves to try the ticker's own training on" if has_learned else short
        return Decision("keep", f"{why}: the base is left alone")
    why = f"the ticker's own training was worth {evidence.skill:+z.3%} of CRPS on {evidence.origins} validation origins"
    if network.corrected:
        return replace(decision, reason=f"{decision.reason}; {why}")
    return Decision("keep", f"the base left alone was no worse: {why} ({decision.mode}: {decision.reason})")
