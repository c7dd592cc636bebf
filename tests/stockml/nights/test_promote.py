"""The verdict is made once: what a night's record says of its promotion is what happens."""

from datetime import UTC, date, datetime

import pytest

from stockml.evaluation.promotion_gate import Verdict
from stockml.home import HomePaths
from stockml.models.registry import Registry
from stockml.nights.promote import final_verdict, promote
from stockml.storage.files import sha256_of
from stockml.storage.receipts import ModelReceipt, PromotionReceipt
from tests.support.models import write_model

WEDNESDAY, THURSDAY, FRIDAY = date(2013, 2, 27), date(2013, 2, 28), date(2013, 3, 1)
NOW = datetime(2013, 3, 2, 4, tzinfo=UTC)
BETTER = Verdict(True, "better than the champion", {"origins": 60.0})
WORSE = Verdict(False, "worse", {})


def model_of(home: HomePaths, session: date) -> ModelReceipt:
    folder = write_model(home.models / "IBM" / str(session), sessions=session.toordinal())
    return ModelReceipt(
        "IBM", str(folder), sha256_of(folder) or "", session, "retrain", "asked for"
    )


def promoted(home: HomePaths, session: date, verdict: Verdict, key: str = "") -> PromotionReceipt:
    return promote(
        home, model_of(home, session), key or f"key of {session}", str(session), verdict, at=NOW
    )


def put_in_office(home: HomePaths, session: date, key: str = "") -> None:
    """Promote the night of the session."""
    assert promoted(home, session, BETTER, key).promoted


@pytest.mark.parametrize(
    ("champion", "verdict", "is_promoted"),
    [
        (None, BETTER, True),
        (None, WORSE, False),
        (WEDNESDAY, BETTER, True),
        (THURSDAY, BETTER, True),
        (FRIDAY, BETTER, False),
        (FRIDAY, WORSE, False),
    ],
)
def test_a_night_is_promoted_exactly_when_its_record_says_so(
    champion: date | None, verdict: Verdict, is_promoted: bool, home: HomePaths
) -> None:
    if champion:
        put_in_office(home, champion, key="another night")
    before = Registry(home.models).champion("IBM")
    told = final_verdict(home, "IBM", THURSDAY, f"key of {THURSDAY}", verdict)
    made = promoted(home, THURSDAY, told)
    assert (told.promoted, told.reason) == (made.promoted, made.reason)
    assert told.promoted is is_promoted
    assert told.numbers == verdict.numbers
    assert made.sha256 == (sha256_of(made.path) or "")
    after = Registry(home.models).champion("IBM")
    assert after == before if not is_promoted else after and after.session == THURSDAY


def test_a_later_sessions_champion_stays_and_the_reason_names_it(home: HomePaths) -> None:
    put_in_office(home, FRIDAY)
    told = final_verdict(home, "IBM", THURSDAY, f"key of {THURSDAY}", BETTER)
    assert told.reason == "a past night: today's model, of 2013-03-01, is unchanged"


def test_a_later_champion_that_came_between_record_and_promotion_stays_too(home: HomePaths) -> None:
    told = final_verdict(home, "IBM", THURSDAY, f"key of {THURSDAY}", BETTER)
    put_in_office(home, FRIDAY)
    made = promoted(home, THURSDAY, told)
    assert (told.promoted, made.promoted) == (True, False)
    assert "a past night" in made.reason


def test_rerunning_a_night_does_not_undo_a_rollback_or_call_its_model_champion(
    home: HomePaths,
) -> None:
    put_in_office(home, WEDNESDAY)
    put_in_office(home, THURSDAY)
    back = Registry(home.models).rollback("IBM", at=NOW, reason="by hand")
    again = promoted(home, THURSDAY, BETTER)
    assert not again.promoted
    assert again.reason == "it was before; the champion since then, 2013-02-27's, stays", (
        "said after 'not promoted: '"
    )
    assert Registry(home.models).champion("IBM") == back
    told = final_verdict(home, "IBM", THURSDAY, f"key of {THURSDAY}", BETTER)
    assert (told.promoted, told.reason) == (again.promoted, again.reason), (
        "on the pages that --force makes anew"
    )


def test_rerunning_the_champions_night_keeps_it_champion_and_promotes_it_once(
    home: HomePaths,
) -> None:
    put_in_office(home, THURSDAY)
    put_in_office(home, THURSDAY)
    assert len(Registry(home.models).history("IBM")) == 1
