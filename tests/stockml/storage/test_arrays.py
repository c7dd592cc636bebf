"""Arrays are unpacked as they were packed, in the same order."""

import io
import tracemalloc

import numpy as np
import pytest

from stockml.storage.arrays import packed, unpacked


def test_more_than_a_thousand_arrays_keep_their_order() -> None:
    arrays = [np.array([number]) for number in range(1_001)]
    assert [array.item() for array in unpacked(packed(arrays))] == list(range(1_001))


def test_arrays_that_unpack_to_far_more_than_the_file_are_refused_unread() -> None:
    np.savez_compressed(zeros := io.BytesIO(), np.zeros(1_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"no \.npz of plain arrays"):
            unpacked(zeros.getvalue())
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
