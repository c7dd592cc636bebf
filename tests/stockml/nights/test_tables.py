"""What a night's tables say where something is missing or did no better."""

from dataclasses import replace

import pytest

from stockml.evaluation.path_scores import PUBLISHED
from stockml.models.trained_model import PRETRAINED
from stockml.nights.tables import distributions, outlook, past_outlooks, rise
from tests.stockml.nights.test_summary import details, publishing_a_path, rows_of
from tests.support.nights import recorded_night


@pytest.fixture
def night():
    return recorded_night()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"usual": None, "percentile": None}, "too short a history to say"),
        ({"usual": (0.004, 0.0084)}, "0.4% to 0.8%"),
        ({"usual": (0.009, 0.01)}, "0.9% to 1%"),
    ],
)
def test_what_is_usual_has_enough_decimals_or_is_unknown(night, changes, said):
    """All tables of an ordinary night are in tests/stockml/tracking/pages.txt."""
    entry = replace(night.forecast.outlook[1], **changes)
    _, heading, shown = outlook(replace(night.forecast, outlook=(entry,)), None).lines()
    assert said in shown
    assert len(shown) == len(heading)


def test_without_a_test_or_a_pretrained_network_its_figures_are_left_out(night):
    untested = tuple(replace(each, test=None) for each in night.outlook_scores)
    assert ", p " not in past_outlooks(replace(night, outlook_scores=untested)).markdown()
    table = night.distributions
    scores = {row: score for row, score in table.scores.items() if row != PRETRAINED}
    without = distributions(replace(night, distributions=replace(table, scores=scores)))
    assert f"the scored regressions learned through {table.through}" in without.notes
    assert PRETRAINED not in {label for label, *_ in without.rows}


def test_one_table_lists_every_path_from_the_reference_to_what_is_published(night):
    alone = details(replace(night, evaluation=replace(night.evaluation, origins=1)))
    assert "path, 1 origin " in alone
    assert "direction (" not in alone, "a share of one origin says nothing"
    first = ["last close", "EMA", "drift", "momentum", "standard average"]
    assert rows_of(night, "path, ", 18) == [*first, "published"]
    of_a_path = rows_of(publishing_a_path(), "path, ", 18)
    assert of_a_path == [*first, "LSTM", "champion", "without network", "published"]


def test_a_chance_that_scored_no_better_than_the_shares_own_frequency_gives_way_to_it(night):
    forecast, evaluation = night.forecast, night.evaluation
    published = evaluation.scores[PUBLISHED]
    rate = published.direction.base_rate

    def said(brier):
        direction = replace(published.direction, brier=brier)
        scores = {**evaluation.scores, PUBLISHED: replace(published, direction=direction)}
        return rise(replace(night, evaluation=replace(evaluation, scores=scores)), forecast)

    own = f"of a higher price in 30 sessions: {forecast.probability_of_rise:.0%}"
    assert said(rate * (1 - rate) - 0.01) == own == rise(None, forecast)
    assert f": {rate:.0%} (its past frequency" in said(rate * (1 - rate))
