"""The campaign over flows, with one of them and few kills; `python -m tests.faults.campaign --flows 20` does all."""

import random
from collections import Counter
from pathlib import Path

import pytest

from deployments.replay.feed import Feed
from tests.faults.flipped_bits import SEED
from tests.faults.flow_kills import Found, compare, kill, killings
from tests.support import replaying

FEW = 2


def test_what_is_missing_is_lost_what_is_there_again_doubled_and_what_is_new_believed() -> None:
    found = Found()
    compare(found, Counter(["bars", "entry"]), Counter(["entry", "entry", "entry of another night"]))
    assert found.details() == {
        "lost": Counter(["bars"]),
        "doubled": Counter(["entry"]),
        "believed": Counter(["entry of another night"]),
    }
    assert str(found).endswith("1 lost, 1 doubled, 1 believed")


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_flow_that_was_killed_ends_when_it_is_run_again_as_if_it_had_not_been(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replaying.use(feed, monkeypatch)
    feed.set_clock(replaying.THURSDAY)
    found = kill(killings(tmp_path / "prices")["history"], FEW, tmp_path, random.Random(SEED))
    assert (found.kills, found.details()) == (FEW, {})
