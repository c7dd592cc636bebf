"""A ticker's training: all weights of the pretrained network, or the champion's, a few steps
further.

`held_out` starts from a pretrained network that ends before the first unseen origin, and learns
from outcomes known by then; `published` starts from the newest and learns from all outcomes. What
training gains is measured on the validation part; where that is nothing, the pretrained network
forecasts alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stockml.errors import InvalidFile, quantity
from stockml.features.origins import OriginSplit, check_segments, scored_origins, split_origins
from stockml.forecasts.proper_scores import crps
from stockml.models.lead_grid import LEADS, moves
from stockml.models.retrain_policy import Decision
from stockml.models.ticker_network import TickerNetwork
from stockml.models.trained_model import Evidence, Network, TrainedModel
from stockml.models.vintage_set import VintageSet, oldest_through, replay_of
from stockml.models.vintage_store import SHIPPED
from stockml.prices.calendar import A_DAY
from stockml.prices.series import PriceSeries
from stockml.settings import EvaluationSettings, Settings
from stockml.training.fine_tuning import Course, History, fine_tune
from stockml.training.network_trainer import stretches_of


def split_after_vintages(
    series: PriceSeries, evaluation: EvaluationSettings, folders: Sequence[Path] = (SHIPPED,)
) -> OriginSplit:
    """Split the origins, the unseen ones after the oldest vintage.  Raises TooFewBars, also for a
    recent hole."""
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
    """Train from the pretrained network or, with `start`, from that model's. Raises TooFewBars,
    Diverged.

    The decision becomes "pretrained", with the reason, where nothing can be trained, or training
    did not help.
    """
    split = split_after_vintages(series, settings.evaluation, folders)
    first, after = series.sessions[split.validation.start], series.sessions[-1] + A_DAY
    vintages, newest = (VintageSet.ending_before(day.item(), folders) for day in (first, after))
    training = TickerTraining(series, settings, folders)
    held_out = training.untrained(vintages, split.validation.start)
    published = training.untrained(newest, len(series))
    history: History = ()
    evidence = None
    reason = _untrainable(held_out, series, split, settings.evaluation)
    if reason is None:
        try:
            held_out, rows = training.trained(held_out, start.held_out if start else None)
            history += _rows("held_out", rows)
            evidence = _evidence(held_out, series, split, settings.evaluation)
            if evidence.skill > 0:
                held_out = replace(held_out, used=True)
                published, rows = training.trained(published, start.published if start else None)
                history += _rows("published", rows)
                published = replace(published, used=True)
        except InvalidFile as damaged:
            held_out, reason = replace(held_out, used=False), str(damaged)
    return TrainedModel(
        settings=settings,
        decision=_with_evidence(decision, evidence, reason),
        held_out=held_out,
        published=published,
        parts=split,
        sessions=len(series),
        last_session=series.sessions[-1],
        retrained_at=series.sessions[-1] if start is None else start.retrained_at,
        evidence=evidence,
        history=history,
    )


@dataclass(frozen=True, eq=False)
class TickerTraining:
    """What a ticker's networks are trained by: its series, the settings, and where the vintages'
    replay lies."""

    series: PriceSeries
    settings: Settings
    folders: Sequence[Path]

    def untrained(self, vintages: VintageSet, stop: int) -> TickerNetwork:
        """The pretrained network as of session `stop`, which may learn from the sessions before
        it."""
        last, through = self.series.sessions[stop - 1], vintages.through
        seen = last if through is None else max(last, np.datetime64(through))
        return TickerNetwork(vintages, None, used=False, learned_until=seen)

    def trained(
        self, network: TickerNetwork, start: Network | None
    ) -> tuple[TickerNetwork, History]:
        """The network trained on outcomes known by its `learned_until`, from `start` if that is of
        its vintages.

        Raises InvalidFile where its vintage's replay is missing or damaged, Diverged.
        """
        vintages = network.vintages
        assert vintages.regression
        assert vintages.ridge
        assert vintages.pretrained
        begin, known = vintages.pretrained, self.series.through(network.learned_until)
        own = stretches_of(known, begin.scale, vintages.regression, vintages.ridge)
        continues, fresh = False, np.arange(len(own))
        if (
            isinstance(start, TickerNetwork)
            and start.vintages.identity() == vintages.identity()
            and start.learned_until
            <= network.learned_until  # parts may begin earlier; nothing can be unlearned
        ):
            begin, continues = (start.fine_tuned if start.used else None) or begin, True
            fresh = np.flatnonzero(own.last > start.learned_until)
        course = Course.of(self.settings.training, continues=continues)
        replay = replay_of(vintages.pretrained, self.folders)
        parts = self.settings.network, self.settings.training
        fine_tuned, history = fine_tune(begin, own, replay, course, *parts, fresh)
        return replace(network, fine_tuned=fine_tuned), history


def _rows(network: str, history: History) -> History:
    return tuple({"network": network, **row} for row in history)


def _untrainable(
    network: TickerNetwork, series: PriceSeries, split: OriginSplit, evaluation: EvaluationSettings
) -> str | None:
    """Why the network cannot be trained, or its training not be judged; None where both can."""
    vintages = network.vintages
    if vintages.pretrained is None:
        return "; ".join(vintages.reasons.values())
    if not len(scored_origins(series, split.validation, evaluation)):
        return (
            f"{quantity(len(series), 'session')} are too few to learn from and to judge it on "
            "others"
        )
    assert vintages.regression
    assert vintages.ridge
    known = series.through(network.learned_until)
    if not len(stretches_of(known, vintages.pretrained.scale, vintages.regression, vintages.ridge)):
        return "no outcome is known before the sessions that judge it"
    return None


def _evidence(
    network: TickerNetwork, series: PriceSeries, split: OriginSplit, evaluation: EvaluationSettings
) -> Evidence:
    """What training gained on the validation part, over the pretrained network left alone."""
    at = scored_origins(series, split.validation, evaluation)
    leads = np.array([lead for lead in LEADS if lead <= evaluation.horizon])
    actual, forecast = moves(series, at, leads), network.vintages.network_quantiles
    quantiles = forecast(series, at, leads, network.fine_tuned), forecast(series, at, leads)
    loss, reference = (float((crps(each, actual) / np.sqrt(leads)).mean()) for each in quantiles)
    return Evidence(1 - loss / reference if reference > 0 else 0.0, len(at))


def _with_evidence(decision: Decision, evidence: Evidence | None, why_not: str | None) -> Decision:
    """The decision with what training gained; to keep the pretrained network where that is not
    above zero."""
    if evidence is None:
        return Decision("pretrained", f"not trained: {why_not}")
    origins = quantity(evidence.origins, "validation origin")
    gain = f"training gained {evidence.skill:+z.3%} of CRPS on {origins}"
    if why_not is None and evidence.skill > 0:
        return Decision(decision.mode, f"{decision.reason}; {gain}")
    why = f" ({why_not})" if why_not else ""
    left_alone = f"kept the shared network: training did not help; {gain}{why}"
    return Decision("pretrained", f"{left_alone} ({decision.mode}: {decision.reason})")
