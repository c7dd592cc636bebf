"""The doctor on tickers: what is old of one that is no longer followed is no news."""

from deployments.registration.ticker_list import add, remove
from stockml.home import HomePaths
from tests.deployments.test_doctor_checks import found
from tests.support.replaying import fill


def test_a_ticker_that_was_removed_from_the_list_is_not_advised_on_for_ever(
    home: HomePaths,
) -> None:
    add(home, ["IBM", "KO"], {})
    fill(home, ["IBM"])
    assert (found(home)["IBM"].verdict, found(home)["IBM"].advice) == (
        "note",
        "`stockml nightly IBM`",
    )
    remove(home, ["IBM"])
    check = found(home)["IBM"]
    assert (check.verdict, check.advice, "not followed, bars" in check.found) == ("ok", "", True)


def test_a_ticker_whose_nights_a_person_starts_is_advised_on_in_a_home_without_a_list(
    home: HomePaths,
) -> None:
    fill(home, ["GOOG"])
    assert (found(home)["GOOG"].verdict, found(home)["GOOG"].advice) == (
        "note",
        "`stockml nightly GOOG`",
    )
