"""The card: what a person who has read nothing learns of a share, in a dozen lines of eighty
columns."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from stockml.evaluation.outlook_scores import FALL
from stockml.forecasts.forecast import Age
from stockml.forecasts.outlook import Outlook, Touch
from stockml.forecasts.proper_scores import DieboldMariano
from stockml.nights.card import Card, Chance, chance_of
from tests.stockml.nights.test_summary import publishing_a_path
from tests.support.nights import recorded_night, series_until

DAY = date(2013, 2, 28)


def card_of(night, sessions=0, state=""):
    return Card.of(night.ticker, night.forecast, night, Age(DAY, sessions, 5), state)


def test_the_card_says_the_days_change_and_what_a_bad_day_costs_on_a_small_terminal():
    """All that an ordinary night says is in the texts of tests/deployments/screens.txt."""
    night = recorded_night(metrics={"answer/day_change_pct": -1.25})
    first = "IBM closed at 200.83 (-1.2%) on Thursday 28 February 2013, the newest close."
    assert card_of(night).text().startswith(f"{first}\nLast night worked.\n")
    for each in (night, publishing_a_path()):
        lines = card_of(each, 1, "failed: " + "the key is wrong " * 9).text().splitlines()
        assert (max(map(len, lines)) <= 80, len(lines) <= 16) == (True, True)
    loss = -np.quantile(np.diff(np.log(series_until("IBM", DAY).close)), 0.05)
    assert 0.3 * loss < card_of(night).loss < 1.5 * loss


def test_a_touch_has_its_chance_and_what_such_chances_were_worth():
    """The share's own frequency stands where the chance scored no better; a worth that cannot be
    told is not said."""
    better = Touch(20, 0.05, chance=0.18, own_frequency=0.22, skill=0.082, origins=94, happened=0.2)
    worse = replace(better, fall=0.1, chance=0.03, own_frequency=0.05, skill=-0.01)
    card = card_of(recorded_night())
    text = " ".join(replace(card, touches=(better, worse)).text().split())
    assert "within 20 sessions, -5%: 18%; -10%: 5% (its past frequency" in text
    assert "In 94 past tests the chance of -5% was 8.2% better" in text
    unknown = replace(better, chance=0.004, skill=None, own_frequency=None)
    text = replace(card, touches=(unknown,)).text()
    assert ("-5%: <1%." in text, "past tests" in text) == (True, False)


def test_an_old_close_says_its_age_and_an_expired_forecast_gives_no_number():
    night = recorded_night()
    old = card_of(night, 5, "failed: the key is wrong").text()
    assert "on Thursday 28 February 2013, 5 sessions ago.\nLast night: failed: the key" in old
    expired = card_of(night, 6)
    for page in (expired.text(), expired.markdown()):
        assert len(page.splitlines()) == 3
        assert "6 sessions old (limit 5)" in page
    assert "%" not in expired.headline + expired.markdown()


@pytest.mark.parametrize(
    ("percentile", "told"),
    [
        (9.0, "calm: 91% of its past forecasts were wilder."),
        (100.0, "wild: 99% of its past forecasts were calmer."),
        (50.0, "as usual: 50% of its past forecasts were wilder."),
        (None, "too short to call that calm or wild."),
    ],
)
def test_the_range_is_calm_or_wild_for_this_share(percentile, told):
    card = replace(card_of(recorded_night()), outlook=Outlook(20, 0.2, None, percentile, 0.5, ()))
    assert told in card.text()


@pytest.mark.parametrize(
    ("skill", "p_value", "told"),
    [(0.01, 0.01, "Yes"), (-0.01, 0.01, "No: a simple"), (0.01, 0.06, "It cannot be told")],
)
def test_the_network_helps_only_beyond_luck(skill, p_value, told):
    night = recorded_night()
    test = DieboldMariano(1.0, p_value, p_value / 2)
    adds = replace(night.network_adds, skill=skill, test=test)
    night = replace(night, distributions=replace(night.distributions, network_adds=adds))
    assert f"Does the network help here? {told}" in card_of(night).text()


def test_a_chance_gives_way_to_the_shares_frequency_where_it_scored_no_better():
    night = recorded_night()
    [past] = [each for each in night.outlook_scores if (each.what, each.sessions) == (FALL, 20)]

    def given(came_true, score):
        scores = (replace(past, came_true=came_true, score=score, constant=0.16),)
        return chance_of(FALL, 20, 0.1, replace(night, outlook_scores=scores))

    assert given(0.2, 0.15) == Chance(0.1)
    assert given(0.2, 0.16) == Chance(0.2, usual=True)
    assert given(0.01, 0.16) == Chance(0.1), "one case in 93 is no frequency"
