"""The campaign over flows, with one flow and few kills; `python -m tests.faults.campaign --flows
20` does all."""

import random
from collections import Counter
from pathlib import Path

import pytest

from deployments.replay.feed import Feed
from tests.faults.flipped_bits import SEED
from tests.faults.flow_kills import Found, compare, kill, killings
from tests.support import replaying

FEW = 2


def test_a_missing_fact_counts_as_lost_a_repeated_one_as_doubled_a_new_one_as_believed() -> None:
    found = Found()
    compare(
        found, Counter(["bars", "entry"]), Counter(["entry", "entry", "entry of another night"])
    )
    assert found.details() == {
        "lost": Counter(["bars"]),
        "doubled": Counter(["entry"]),
        "believed": Counter(["entry of another night"]),
    }
    assert str(found).endswith("1 lost, 1 doubled, 1 believed")


@pytest.mark.campaign
@pytest.mark.usefixtures("prefect_server")
def test_a_killed_flow_that_is_run_again_ends_as_if_it_had_not_been_killed(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replaying.use(feed, monkeypatch)
    feed.set_clock(replaying.THURSDAY)
    found = kill(killings(tmp_path / "prices")["history"], FEW, tmp_path, random.Random(SEED))
    assert (found.kills, found.details()) == (FEW, {})
