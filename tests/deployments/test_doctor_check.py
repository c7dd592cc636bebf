"""A check's line has its verdict, finding and advice; an error within a check is a problem, and
ends no other check."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deployments.doctor.check import Check, guarded
from stockml.errors import NoBars

OK = Check("clock", "ok", "Thursday")
CLOSED = Check("home", "problem", "it cannot be written", "correct its rights")


def raising(error: Exception) -> Callable[[], None]:
    def look() -> None:
        raise error

    return look


def several() -> Iterator[Check]:
    yield OK
    raise NoBars("/store/IBM.parquet", "no bars of IBM", "fetch them")


def test_a_line_begins_with_the_verdict_and_ends_with_the_advice_if_any() -> None:
    assert str(OK) == "ok      clock: Thursday"
    assert str(CLOSED) == "PROBLEM home: it cannot be written; correct its rights"


@pytest.mark.parametrize(
    ("look", "checks"), [(lambda: OK, [OK]), (lambda: iter([OK, CLOSED]), [OK, CLOSED])]
)
def test_checks_that_are_returned_or_yielded_pass(
    look: Callable[[], object], checks: list[Check]
) -> None:
    assert list(guarded("clock", look)) == checks
    assert list(guarded("clock", lambda: None)) == []


def test_an_error_is_a_problem_of_the_checks_name(tmp_path: Path) -> None:
    [check] = guarded("bars", raising(NoBars("/store/IBM.parquet", "no bars of IBM", "fetch them")))
    assert (check.name, check.verdict) == ("bars", "problem")
    assert "IBM" in check.found
    first, second = guarded("bars", several)
    assert (first, second.verdict) == (OK, "problem")
    with pytest.raises(ZeroDivisionError):
        list(guarded("bars", raising(ZeroDivisionError())))
