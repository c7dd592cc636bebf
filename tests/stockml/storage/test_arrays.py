"""Arrays are unpacked as they were packed, in the same order."""

import numpy as np

from stockml.storage.arrays import packed, unpacked


def test_more_than_a_thousand_arrays_keep_their_order() -> None:
    arrays = [np.array([number]) for number in range(1_001)]
    assert [array.item() for array in unpacked(packed(arrays))] == list(range(1_001))
