"""A night's record is kept whole and gives the same bytes every time, and nothing else is taken for
one."""

from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from datetime import UTC, datetime
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stockml.errors import InvalidFile
from stockml.nights.record import (
    Night,
    check_night,
    kept_night,
    night_path,
    put_aside,
    read_night,
    write_night,
)
from tests.support.nights import recorded_night


def skipped():
    night = recorded_night()
    return Night.skipped("IBM", night.session, "quota: 25 requests a day", night.finished_at)


FINITE, TEXT = st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)
OF: dict[object, st.SearchStrategy[Any]] = {
    **{float: FINITE, str: TEXT, datetime: st.datetimes(timezones=st.just(UTC))},
    Any: TEXT | st.integers() | FINITE | st.lists(st.integers(), max_size=2),
}


def drawn(kind):
    """A strategy for any value of the type, field by field: numbers are finite, and what may be
    long is short."""
    made, of = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return st.builds(kind, **{name: drawn(hint) for name, hint in get_type_hints(kind).items()})
    if made is tuple:
        many = st.lists(drawn(of[0]), max_size=2).map(tuple)
        return many if ... in of else st.tuples(*map(drawn, of))
    if made in (dict, Mapping):
        return st.dictionaries(TEXT, drawn(of[1]), max_size=2)
    if made in (Union, UnionType):
        return st.one_of(map(drawn, of))
    return OF[kind] if kind in OF else st.from_type(kind)


@given(night=drawn(Night))
def test_any_night_is_read_as_it_was_written(night, tmp_path_factory):
    path = tmp_path_factory.mktemp("night") / "night.json"
    write_night(night, path)
    assert read_night(path) == night


@pytest.mark.parametrize("content", ["", '{"ticker": "IBM"}', "\xff"])
def test_a_file_that_holds_no_night_is_an_error_that_names_it(content, tmp_path):
    (tmp_path / "night.json").write_text(content)
    with pytest.raises(InvalidFile, match=r"night\.json: expected a night's record"):
        read_night(tmp_path / "night.json")


@pytest.mark.parametrize("change", [(b"fine-tune", b"fine-tuna"), (b"crc3", b"crc4")])
def test_a_changed_record_is_an_error_that_names_the_file(change, tmp_path):
    night = recorded_night()
    write_night(night, path := night_path(tmp_path / "nights", night.ticker, night.key))
    path.write_bytes(path.read_bytes().replace(*change))
    for look in (read_night, check_night):
        with pytest.raises(InvalidFile, match=r"night\.json: expected .*restore it from a backup"):
            look(path)


def test_a_damaged_record_is_put_aside_and_not_overwritten(tmp_path):
    put_aside(path := tmp_path / "night.json")
    path.write_bytes(b"damaged")
    put_aside(path)
    assert not path.exists()
    assert [each.read_bytes() for each in tmp_path.glob("*")] == [b"damaged"]


def test_another_nights_record_is_not_taken_for_this_nights(tmp_path):
    """A copy in the wrong place would be shown, and logged, as the night that was asked for."""
    one, other = recorded_night(key="1" * 64), recorded_night(key="2" * 64)
    mixed_up = night_path(tmp_path / "nights", "IBM", one.key)
    for night in (one, other):
        write_night(night, mixed_up)
        if night == one:
            check_night(mixed_up)
    for look in (read_night, check_night):
        with pytest.raises(InvalidFile, match=f"another, {other.run_name} .{'2' * 16}.; restore"):
            look(mixed_up)
    assert kept_night(tmp_path / "nights", "IBM", one.key) is None
    write_night(replace(one, ticker="MSFT"), mixed_up)
    with pytest.raises(InvalidFile, match="`stockml tickers rename MSFT IBM`"):
        read_night(mixed_up)


def test_what_a_night_left_is_found_where_its_home_was_moved(tmp_path):
    model = tmp_path / "home" / "models" / "IBM" / "m"
    model.mkdir(parents=True)
    gone = {"evaluation_folder": "/gone/evaluations/IBM/e", "plots_folder": "/gone/plots/IBM/p"}
    night = recorded_night(settings={}, model_folder=str(model), **gone)
    write_night(night, night_path(tmp_path / "home" / "nights", "IBM", night.key))
    moved = (tmp_path / "home").rename(tmp_path / "moved")
    found = kept_night(moved / "nights", "IBM", night.key)
    assert found == replace(
        night, model_folder=f"{moved}/models/IBM/m", plots_folder=f"{moved}/plots/IBM/p"
    )
