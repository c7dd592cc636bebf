"""The verdict is made once: what a night's record says of its promotion is what happens."""

from datetime import UTC, date, datetime

import pytest

from stockml.evaluation.promotion_gate import Verdict
from stockml.models.registry import Registry
from stockml.nights.promote import final_verdict, promote
from stockml.storage.files import sha256_of
from stockml.storage.receipts import ModelReceipt
from tests.support.models import write_model

WEDNESDAY, THURSDAY, FRIDAY = date(2013, 2, 27), date(2013, 2, 28), date(2013, 3, 1)
NOW = datetime(2013, 3, 2, 4, tzinfo=UTC)
BETTER = Verdict(True, "better than the champion", {"origins": 60.0})
WORSE = Verdict(False, "worse", {})


def promoted(home, session, verdict, key=""):
    folder = write_model(home.models / "IBM" / str(session), sessions=session.toordinal())
    model = ModelReceipt("IBM", str(folder), sha256_of(folder), session, "retrain", "asked")
    return promote(home, model, key or f"key of {session}", str(session), verdict, at=NOW)


def told(home, verdict=BETTER):
    """The verdict that Thursday's record shows."""
    return final_verdict(home, "IBM", THURSDAY, f"key of {THURSDAY}", verdict)


@pytest.mark.parametrize(
    ("champion", "verdict", "is_promoted"),
    [
        (None, BETTER, True),
        (WEDNESDAY, BETTER, True),
        (THURSDAY, BETTER, True),
        (FRIDAY, BETTER, False),
        (WEDNESDAY, WORSE, False),
    ],
)
def test_a_night_is_promoted_exactly_when_its_record_says_so(champion, verdict, is_promoted, home):
    if champion:
        promoted(home, champion, BETTER, key="another night")
    before, said = Registry(home.models).champion("IBM"), told(home, verdict)
    for _ in range(2):  # run again, it stays champion and is promoted once
        made = promoted(home, THURSDAY, said)
        assert (made.promoted, made.reason) == (said.promoted, said.reason)
        assert made.sha256 == sha256_of(made.path)
    assert (said.promoted, said.numbers) == (is_promoted, verdict.numbers)
    after = Registry(home.models).champion("IBM")
    assert (after.session == THURSDAY) if is_promoted else after == before
    assert len(Registry(home.models).history("IBM")) == (champion is not None) + is_promoted


def test_a_later_champion_that_came_between_record_and_promotion_stays_too(home):
    said = told(home)
    promoted(home, FRIDAY, BETTER)
    made = promoted(home, THURSDAY, said)
    assert (said.promoted, made.promoted) == (True, False)
    assert made.reason == "a past night: today's model, of 2013-03-01, is unchanged"


def test_rerunning_a_night_does_not_undo_a_rollback_or_call_its_model_champion(home):
    for session in (WEDNESDAY, THURSDAY):
        promoted(home, session, BETTER)
    back = Registry(home.models).rollback("IBM", at=NOW, reason="by hand")
    again = promoted(home, THURSDAY, BETTER)
    assert not again.promoted
    assert "the champion since then, 2013-02-27's, stays" in again.reason
    assert Registry(home.models).champion("IBM") == back
    assert (told(home).promoted, told(home).reason) == (False, again.reason), "on pages made anew"
