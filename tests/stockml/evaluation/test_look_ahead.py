"""A night checks whether a later bar would have changed any row, and publishes nothing if one
would."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from stockml.errors import LooksAhead
from stockml.evaluation.candidates import Candidate, ScoringData
from stockml.evaluation.look_ahead import (
    check_look_ahead,
    check_rows,
    check_training,
    rows_of_a_night,
    with_altered_future,
)
from stockml.evaluation.path_scores import CHAMPION, LAST_CLOSE, LSTM, PUBLISHED
from stockml.models.regressions import RIDGE, baseline_paths
from stockml.models.trained_model import PRETRAINED, Decision
from stockml.models.vintage_store import SHIPPED
from stockml.training.ticker_training import TickerTraining, train_ticker
from tests.stockml.evaluation.seers import (
    NARROW,
    SERIES,
    SETTINGS,
    SPLIT,
    TEST,
    USUAL,
    Model,
    Seer,
    assessed,
)
from tests.support.walks import SMALL

MIDDLE = int(TEST[len(TEST) // 2])
PEEKING = Model(*(Seer(0.3, learned_until, None) for learned_until in SERIES.sessions[[0, -1]]))
NEXT_CLOSE = f"after the close of {SERIES.sessions[MIDDLE]}"


def test_a_network_that_looks_ahead_is_named_be_it_challenger_or_champion():
    with pytest.raises(LooksAhead, match=f"the forecast of LSTM {NEXT_CLOSE}"):
        assessed(PEEKING, NARROW)
    with pytest.raises(LooksAhead, match=f"the forecast of champion {NEXT_CLOSE}"):
        assessed(USUAL, PEEKING)


def test_forecasts_by_another_network_than_the_scored_one_are_found_out():
    """Such as the published one, which knows the outcomes that are scored."""
    unseen, of = ScoringData.of(SERIES, SPLIT, SETTINGS, USUAL), {LSTM: USUAL, RIDGE: None}
    honest = {name: Candidate.of(unseen, model) for name, model in of.items()}
    check_look_ahead(unseen, honest)
    knowing = replace(honest[LSTM], earlier=1.01 * honest[LSTM].earlier)
    with pytest.raises(LooksAhead, match=f"the forecast of LSTM {NEXT_CLOSE}"):
        check_look_ahead(unseen, honest | {LSTM: knowing})


@pytest.mark.slow
def test_training_on_outcomes_of_the_unseen_parts_is_found_out():
    model = train_ticker(SERIES, SMALL, Decision("retrain", "no champion yet"), start=None)
    held_out, published = model.held_out, model.published
    model = replace(model, held_out=replace(held_out, used=True))  # whatever its worth
    check_training(SERIES, model, None)
    later = train_ticker(SERIES, SMALL, Decision("fine-tune", "a night"), start=model)
    check_training(SERIES, replace(later, held_out=replace(later.held_out, used=True)), model)
    training = TickerTraining(SERIES, SMALL, (SHIPPED,))
    knowing, _ = training.trained(replace(held_out, learned_until=published.learned_until), None)
    last = SERIES.sessions[model.parts.validation.start - 1]
    leaking = replace(held_out, fine_tuned=knowing.fine_tuned, used=True)
    with pytest.raises(LooksAhead, match=f"the forecast of training after the close of {last}"):
        check_training(SERIES, replace(model, held_out=leaking), None)


def test_every_row_of_both_tables_is_checked():
    found = assessed(USUAL, NARROW)
    networks = {LSTM: USUAL.held_out, CHAMPION: NARROW.held_out, RIDGE: None}
    rows = rows_of_a_night(SERIES, TEST[:3], networks, USUAL.held_out.vintages, SETTINGS.horizon)
    shown = {*found.evaluation.scores, *found.distributions.scores, *found.distributions.reasons}
    assert shown - {LAST_CLOSE, PUBLISHED} == {*rows}, (
        "the last close is the price itself, and what is published comes from one of the networks"
    )
    assert {PRETRAINED, *baseline_paths(SERIES.close, TEST, 1)} <= {*rows}


def test_the_smallest_useful_leak_is_found_out_and_rounding_is_none():
    """One later bar among the four thousand that a slow average looks back on; a product's last
    bits."""

    def average(series, seen):
        known = np.resize(series.close[: MIDDLE + 1 + seen], 4_000)[::-1]
        return np.array([known @ 0.999 ** np.arange(4_000)])

    last = float(SERIES.close[-1])
    for leaks, row in (
        (False, lambda series: average(series, 0)),
        (False, lambda series: np.array([1.0 + 1e-7 * (series.close[-1] == last)])),
        (True, lambda series: average(series, 1)),
        (True, lambda series: np.array([np.inf, np.nan, series.close[-1]])),
        (True, lambda series: np.diff(np.log(series.close[MIDDLE + 1 :]))),  # has no unit
    ):
        found_out = pytest.raises(LooksAhead, match="of row") if leaks else nullcontext()
        with found_out:
            check_rows(SERIES, MIDDLE, lambda series, row=row: {"row": row(series)})


def test_the_other_future_differs_in_every_value_from_the_next_session_on():
    other = with_altered_future(SERIES, MIDDLE)
    assert other.sessions.tolist() == SERIES.sessions.tolist()
    for name in ("open", "high", "low", "close", "volume"):
        same = getattr(SERIES, name) == getattr(other, name)
        assert same.tolist() == [True] * (MIDDLE + 1) + [False] * (len(SERIES) - MIDDLE - 1), name
    assert (other.low <= np.minimum(other.open, other.close)).all(), "they are still valid bars"
