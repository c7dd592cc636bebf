"""Replay ships with its vintage: a sample of what it learned from, and nothing that ends after
it."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from stockml.errors import InvalidFile
from stockml.models.replay import SAMPLE, Replay
from stockml.models.vintage_set import VintageSet, replay_of
from stockml.models.vintage_store import SHIPPED, digest, read, write
from stockml.training.network_trainer import TrainingSet
from tests.stockml.models.test_pretrained_network import pretrained
from tests.stockml.models.test_ridge_regression import fit
from tests.support.walks import walk

UNTIL = date(2003, 6, 30)


def sample() -> Replay:
    series = {f"T{i}": walk(900, seed=i) for i in range(3)}
    return Replay.of(
        TrainingSet.of(series, UNTIL, *fit(series, UNTIL)).stretches,
        pretrained(),
        digest(pretrained()),
    )


def test_it_reads_back_as_written_and_belongs_to_one_network(tmp_path: Path) -> None:
    path, plain = write(sample(), tmp_path), sample()
    found = read(path)
    assert path.name == "replay-2004-06.npz"
    for name, array in vars(plain.stretches).items():
        np.testing.assert_array_equal(getattr(found.stretches, name), array)
    assert replay_of(pretrained(), [tmp_path]).network == digest(pretrained())
    other = replace(pretrained(), origins=1)
    with pytest.raises(InvalidFile, match=r"replay-2004-06\.npz: .* found of another network"):
        replay_of(other, [tmp_path])
    with pytest.raises(InvalidFile, match="found nothing; learn it anew"):
        replay_of(pretrained(), [tmp_path / "absent"])


def test_a_damaged_file_or_a_stretch_that_ends_later_is_refused(tmp_path: Path) -> None:
    path = write(sample(), tmp_path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InvalidFile, match="replay-2004-06"):
        replay_of(pretrained(), [tmp_path])
    with pytest.raises(
        ValueError, match=r"expected stretches through 2003-01-01, found one that ends on 2003-0"
    ):
        replace(sample(), through=date(2003, 1, 1))


def test_every_shipped_network_has_its_replay_and_all_together_are_small() -> None:
    files = sorted(SHIPPED.glob("network-*.npz"))
    assert len(files) >= 6
    for file in files:
        network = read(file)
        stretches = replay_of(network).stretches
        assert len(stretches) == SAMPLE
        assert stretches.last.max().item() <= network.through
    assert sum(file.stat().st_size for file in SHIPPED.glob("replay-*.npz")) < 8e6
    assert VintageSet.ending_before(date(2018, 1, 1)).through == date(2017, 6, 30)
