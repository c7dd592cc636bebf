"""The campaigns in small: no kill loses an acknowledged write, no flipped bit in a source of truth is believed."""

import random
import subprocess
import sys
from pathlib import Path

from tests.faults.flipped_bits import SEED, flip, kinds
from tests.support.patience import PATIENCE_S

FEW = 20


def test_a_flipped_bit_is_named_or_harmless_and_never_believed(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    for kind in kinds(tmp_path / "home").values():
        found = flip(kind, FEW, chance)
        assert found["named"] + found["harmless"] == FEW, kind.name


def test_the_campaign_kills_writers_and_finds_nothing_lost() -> None:
    """Writers of the ledger, promotions, settings and base networks; in its own process, because it forks."""
    command = [sys.executable, "-m", "tests.faults.campaign", "--bits", "0", "--kills", "5", "--payloads", "200"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" 0 lost") == 4, done.stdout
