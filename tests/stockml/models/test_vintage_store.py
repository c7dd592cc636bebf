"""Vintages as files: they read back as written; a damaged or foreign file is refused by name."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from stockml.errors import InvalidFile
from stockml.models.pretrained_network import SAMPLE, Replay
from stockml.models.vintage_set import replay_of
from stockml.models.vintage_store import SHIPPED, digest, read, write
from stockml.storage.arrays import labelled, unlabelled
from stockml.training.network_trainer import TrainingSet
from tests.stockml.models.test_pretrained_network import pretrained
from tests.stockml.models.test_regressions import fit
from tests.support.walks import walk

UNTIL = date(2003, 6, 30)


@cache
def vintages():
    """One of each kind, by how the names of its files begin."""
    series = {f"T{i}": walk(900, seed=i) for i in range(3)}
    regressions = fit(series, UNTIL)
    network = replace(pretrained(), scores={"crps": 0.003})
    stretches = TrainingSet.of(series, UNTIL, *regressions).stretches
    kinds = (*regressions, network, Replay.of(stretches, network, digest(network)))
    return dict(zip(("regression", "ridge", "network", "replay"), kinds, strict=True))


@pytest.mark.parametrize("name", vintages())
def test_it_reads_back_as_written_and_equal_values_give_equal_bytes(name, tmp_path):
    plain = vintages()[name]
    path = write(plain, tmp_path)
    found, content = read(path), path.read_bytes()
    assert path.stem == f"{name}-{plain.through:%Y-%m}"
    np.testing.assert_equal(asdict(found), asdict(plain))
    header = unlabelled(content)[0] if path.suffix == ".npz" else json.loads(content)
    assert digest(found) == digest(plain) == header["sha256"]
    assert write(found, tmp_path).read_bytes() == content


def test_the_error_for_a_file_of_something_else_names_it_and_the_way_back(tmp_path):
    for name, content in (
        ("regression", b""),
        ("regression", b"[" * 100_000),
        ("regression", b'{"through": "2003-06-30"}'),
        ("network", labelled({"through": "2003-06-30"}, [np.zeros(3)])[:-99]),
    ):
        path = write(vintages()[name], tmp_path)
        path.write_bytes(content)
        with pytest.raises(InvalidFile, match=rf"{path.name}.*`stockml pretrain`"):
            read(path)


DAMAGES: list[tuple[str, dict[str, Any], Callable[..., list[np.ndarray]]]] = [
    ("regression", {"format": "stockml regression, 1"}, list),
    ("regression", {"leads": [1, 2]}, list),
    ("regression", {"through": "lately"}, list),
    ("regression", {"means": [0.0]}, list),
    ("ridge", {"deviations": [0.0] * 80}, list),
    ("ridge", {"shape": [[0.0] * 20 + [-1.0]] * 11}, list),
    ("network", {"format": "stockml pretrained network, 1"}, list),
    ("network", {"through": "lately"}, list),
    ("network", {"members": 0}, list),
    ("network", {}, lambda arrays: [*arrays, arrays[0]]),
    ("network", {}, lambda arrays: [*arrays[:-1], -arrays[-1]]),
    ("replay", {}, lambda arrays: [arrays[0] * np.nan, *arrays[1:]]),
    ("replay", {}, lambda arrays: [*arrays[:4], arrays[4] + 10_000]),
    ("replay", {}, lambda arrays: [arrays[0][:, 1:], *arrays[1:]]),
]


@pytest.mark.parametrize(("name", "changes", "of_arrays"), DAMAGES)
def test_a_file_with_another_content_is_refused_signed_or_not(tmp_path, name, changes, of_arrays):
    path = write(vintages()[name], tmp_path)
    content = path.read_bytes()
    header, arrays = unlabelled(content) if path.suffix == ".npz" else (json.loads(content), [])
    signed, header, arrays = header.pop("sha256"), header | changes, of_arrays(arrays)
    sha256 = hashlib.sha256(json.dumps(header, sort_keys=True, separators=(",", ":")).encode())
    for array in arrays:
        sha256.update(f"{array.dtype.str} {array.shape}".encode() + array.tobytes())
    for signature in (signed, sha256.hexdigest()):
        header["sha256"] = signature
        path.write_bytes(labelled(header, arrays) if arrays else json.dumps(header).encode())
        found = "SHA-256" if signature == signed else "found (?!.*SHA-256)"
        with pytest.raises(InvalidFile, match=rf"{path.name}.*{found}.*`stockml pretrain`"):
            read(path)


def test_no_flipped_bit_is_read_as_another_network(tmp_path):
    path = write(pretrained(), tmp_path)
    content, said = path.read_bytes(), digest(pretrained())
    for place in np.random.default_rng(4).integers(0, len(content), 300):
        path.write_bytes(content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
        try:
            found = digest(read(path))
        except InvalidFile:
            continue
        assert found == said  # the bit changed no content: a date in the archive, for example


def test_nothing_pickled_is_loaded(tmp_path):
    path = tmp_path / "network-2004-06.npz"
    np.savez(path, **{"000": np.array([{"through": "2004-06-30"}], dtype=object)})  # type: ignore[arg-type]
    with pytest.raises(InvalidFile, match="plain arrays"):
        read(path)


def test_the_error_for_a_missing_or_renamed_file_names_it(tmp_path):
    path = write(vintages()["regression"], tmp_path)
    for other in (path.rename(tmp_path / "regression-1999-06.json"), path):
        with pytest.raises(InvalidFile, match=other.name):
            read(other)
    with pytest.raises(InvalidFile, match=r"regression-1980-01.*from the release"):
        read(SHIPPED / "regression-1980-01.json")


def test_a_replay_belongs_to_one_network(tmp_path):
    write(vintages()["replay"], tmp_path)
    network = vintages()["network"]
    assert replay_of(network, [tmp_path]).network == digest(network)
    with pytest.raises(InvalidFile, match=r"replay-2004-06\.npz: .* found of another network"):
        replay_of(pretrained(), [tmp_path])
    with pytest.raises(InvalidFile, match=r"replay-2004-06\.npz: .* found nothing"):
        replay_of(network, [tmp_path / "absent"])


def test_shipped_vintages_are_sound_small_described_and_at_most_two_years_apart():
    for pattern in ("regression-*.json", "ridge-*.json", "network-*.npz"):
        paths = sorted(SHIPPED.glob(pattern))
        described = (SHIPPED / "README.md").read_text(encoding="utf-8")
        ends = [read(path).through for path in paths]
        assert (ends[0], ends[-1]) == (date(1999, 6, 30), date(2017, 6, 30))
        assert all((later - sooner).days <= 2 * 366 for sooner, later in pairwise(ends))
        assert ends == [read(path).through for path in sorted(SHIPPED.glob("regression-*.json"))]
        for path in paths:
            assert path.stat().st_size < 400_000
            assert hashlib.sha256(path.read_bytes()).hexdigest() in described


def test_every_shipped_network_has_its_replay_and_all_together_are_small():
    for network in map(read, SHIPPED.glob("network-*.npz")):
        assert len(replay_of(network).stretches) == SAMPLE
    assert sum(file.stat().st_size for file in SHIPPED.glob("replay-*.npz")) < 8e6
