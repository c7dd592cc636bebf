"""A night's record is kept whole and gives the same bytes every time, and nothing else is taken for
one."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
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


def skipped() -> Night:
    return replace(
        recorded_night(),
        status="skipped",
        mode="",
        reason="quota: 25 requests a day",
        evaluation=None,
        metrics={},
        history=(),
        verdict=None,
        forecast=None,
        distributions=None,
        publisher="",
    )


FINITE, TEXT = st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)
OF: dict[object, st.SearchStrategy[Any]] = {
    **{float: FINITE, str: TEXT, datetime: st.datetimes(timezones=st.just(UTC))},
    Any: TEXT | st.integers() | FINITE | st.lists(st.integers(), max_size=2),
}


def drawn(kind: Any) -> st.SearchStrategy[Any]:
    """A strategy for any value of the type, field by field: numbers are finite, and what may be
    long is short."""
    made, of = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{each.name: drawn(hints[each.name]) for each in fields(kind)})  # type: ignore[arg-type]
    if made is tuple:
        return (
            st.lists(drawn(of[0]), max_size=2).map(tuple)
            if ... in of
            else st.tuples(*map(drawn, of))
        )
    if made in (dict, Mapping):
        return st.dictionaries(TEXT, drawn(of[1]), max_size=2)
    if made in (Union, UnionType):
        return st.one_of(map(drawn, of))
    return OF[kind] if kind in OF else st.from_type(kind)


@given(night=drawn(Night))
def test_any_night_is_read_as_it_was_written(
    night: Night, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("night") / "night.json"
    write_night(night, path)
    assert read_night(path) == night


def test_a_record_from_before_the_last_close_and_the_distributions_can_still_be_read(
    tmp_path: Path,
) -> None:
    write_night(recorded_night(), tmp_path / "new")
    kept = json.loads((tmp_path / "new").read_text())
    del kept["distributions"], kept["publisher"], kept["forecast"]["last_close"], kept["crc32"]
    (tmp_path / "old").write_text(json.dumps(kept))
    night = read_night(tmp_path / "old")
    assert night.forecast
    assert (night.distributions, night.publisher, night.forecast.last_close) == (None, "", None)
    assert night.forecast.now == night.forecast.last_value


@pytest.mark.parametrize("content", ["", '{"ticker": "IBM"}', "\xff"])
def test_a_file_that_holds_no_night_is_an_error_that_names_it(content: str, tmp_path: Path) -> None:
    (tmp_path / "night.json").write_text(content)
    with pytest.raises(InvalidFile, match=r"night\.json: expected a night's record"):
        read_night(tmp_path / "night.json")


@pytest.mark.parametrize("change", [(b"fine-tune", b"fine-tuna"), (b"crc3", b"crc4")])
def test_a_changed_record_is_an_error_that_names_the_file(
    change: tuple[bytes, bytes], tmp_path: Path
) -> None:
    night = recorded_night()
    write_night(night, path := night_path(tmp_path / "nights", night.ticker, night.key))
    path.write_bytes(path.read_bytes().replace(*change))
    for look in (read_night, check_night):
        with pytest.raises(InvalidFile, match=r"night\.json: expected .*restore it from a backup"):
            look(path)


def test_a_damaged_record_is_put_aside_and_not_overwritten(tmp_path: Path) -> None:
    put_aside(tmp_path / "night.json")
    (tmp_path / "night.json").write_bytes(b"damaged")
    put_aside(tmp_path / "night.json")
    assert [path.read_bytes() for path in tmp_path.glob("*")] == [b"damaged"]
    assert not (tmp_path / "night.json").exists()


def test_another_nights_record_is_not_taken_for_this_nights(tmp_path: Path) -> None:
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
