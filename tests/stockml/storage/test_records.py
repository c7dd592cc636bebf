"""A record is read back whole, or refused with the place of its first fault; arrays are unpacked as
they were packed, in the same order."""

import io
import json
import tracemalloc
from dataclasses import dataclass
from datetime import date

import numpy as np
import pytest

from stockml.storage.arrays import packed, unpacked
from stockml.storage.receipts import read_record, record, written_record


@dataclass(frozen=True)
class Part:
    prices: tuple[float, ...]
    note: str | None = None


@record
@dataclass(frozen=True)
class Whole:
    session: date
    count: int
    parts: dict[str, Part]


WHOLE = Whole(date(2013, 2, 28), 2, {"a": Part((1.5, 5e-324, -0.1)), "b": Part((), "empty")})
KEPT = json.loads(written_record(WHOLE))


def test_a_record_is_read_as_it_was_written():
    assert read_record(Whole, written_record(WHOLE)) == WHOLE


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"session": "yesterday"}, "session: "),
        ({"count": True}, "count: "),
        ({"unknown": 1}, "unknown: "),
        ({"parts": {"a": {"prices": [1.5, "2.5"]}}}, r"parts\.a\.prices\.1: "),
        ({"parts": {"a": {"prices": [], "unknown": 1}}}, r"parts\.a\.unknown: "),
        ({"parts": {"a": {}}}, r"parts\.a\.prices: Field "),
    ],
)
def test_a_fault_is_named_by_its_place_in_one_line(changes, fault):
    with pytest.raises(ValueError, match=f"^{fault}[^\n]+$"):
        read_record(Whole, json.dumps(KEPT | changes))


@pytest.mark.parametrize("content", [b"", b"[]", b"{half", b"\xff\xfe"])
def test_what_is_not_a_record_is_refused(content):
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        read_record(Whole, content)


@pytest.mark.parametrize("price", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_never_written(price):
    with pytest.raises(ValueError, match="not JSON compliant"):
        written_record(Whole(WHOLE.session, 1, {"a": Part((price,))}))


def test_more_than_a_thousand_arrays_keep_their_order():
    arrays = [np.array([number]) for number in range(1_001)]
    assert [array.item() for array in unpacked(packed(arrays))] == list(range(1_001))


def test_arrays_that_unpack_to_far_more_than_the_file_are_refused_unread():
    np.savez_compressed(zeros := io.BytesIO(), np.zeros(1_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"no \.npz of plain arrays"):
            unpacked(zeros.getvalue())
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
