"""A flipped bit in any file that is a source of truth is named with the file, or changes nothing of what is read."""

import random
from pathlib import Path

from tests.faults.flipped_bits import SEED, flip, kinds

FEW = 25


def test_a_flipped_bit_is_named_or_harmless_and_never_believed(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    for kind in kinds(tmp_path / "home").values():
        found = flip(kind, FEW, chance)
        assert found["named"] + found["harmless"] == FEW, kind.name
