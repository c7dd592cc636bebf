"""Pretrained networks as files: they read back as written, and a damaged or foreign file is refused
by name."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stockml.errors import InvalidFile
from stockml.models.har_regression import HarRegression
from stockml.models.ridge_regression import RidgeRegression
from stockml.models.vintage_store import digest, read, write
from stockml.storage.arrays import packed, unpacked
from tests.stockml.models.test_pretrained_network import pretrained
from tests.support.walks import walk


def test_a_pretrained_network_reads_back_as_written_and_equal_values_give_equal_bytes(
    tmp_path: Path,
) -> None:
    plain = replace(pretrained(), scores={"crps": 0.003})
    path = write(plain, tmp_path)
    found, content = read(path), path.read_bytes()
    assert path.name == "network-2004-06.npz"
    assert (found.through, found.tickers, found.scores) == (
        plain.through,
        plain.tickers,
        plain.scores,
    )
    assert (found.sessions, found.origins) == (plain.sessions, plain.origins)
    assert digest(found) == digest(plain) == json.loads(unpacked(content)[0].tobytes())["sha256"]
    series = {f"T{i}": walk(700, seed=i) for i in range(3)}
    pooled = HarRegression.fit(series, date(2002, 6, 30))
    ridge = RidgeRegression.fit(series, date(2002, 6, 30), pooled)
    at = (walk(700), np.array([100, 600]), np.arange(1, 51), pooled, ridge)
    np.testing.assert_array_equal(found.quantiles(*at), plain.quantiles(*at))
    assert write(found, tmp_path).read_bytes() == content


def resigned(header: dict[str, Any], arrays: list[np.ndarray]) -> bytes:
    """A file whose SHA-256 matches, as after a deliberate change."""
    header = {name: value for name, value in header.items() if name != "sha256"}
    found = hashlib.sha256(json.dumps(header, sort_keys=True, separators=(",", ":")).encode())
    for array in arrays:
        found.update(f"{array.dtype.str} {array.shape}".encode() + array.tobytes())
    return signed(header | {"sha256": found.hexdigest()}, arrays)


def signed(header: object, arrays: list[np.ndarray]) -> bytes:
    return packed([np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), *arrays])


def bit_flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :]


Damage = Callable[[bytes, dict[str, Any], list[np.ndarray]], bytes]
DAMAGES: dict[str, Damage] = {
    "empty": lambda content, header, arrays: b"",
    "cut short": lambda content, header, arrays: content[: len(content) // 2],
    "its end lost": lambda content, header, arrays: content[:-10],
    "text": lambda content, header, arrays: b"{}",
    "a bit turned": lambda content, header, arrays: bit_flipped(
        content, content.index(arrays[0].tobytes()) + 9
    ),
    "one array": lambda content, header, arrays: packed([np.zeros(3)]),
    "no header": lambda content, header, arrays: packed(arrays),
    "another record": lambda content, header, arrays: signed({"sha256": "0"}, arrays),
    "a list": lambda content, header, arrays: signed([1, 2], arrays),
    "a later session": lambda content, header, arrays: signed(
        header | {"through": "2004-06-29"}, arrays
    ),
    "other weights": lambda content, header, arrays: signed(
        header, [arrays[0] + np.float16(1), *arrays[1:]]
    ),
    "another format": lambda content, header, arrays: resigned(
        header | {"format": "stockml pretrained network, 1"}, arrays
    ),
    "other inputs": lambda content, header, arrays: resigned(
        header | {"inputs": ["return"]}, arrays
    ),
    "no date": lambda content, header, arrays: resigned(header | {"through": "lately"}, arrays),
    "no networks": lambda content, header, arrays: resigned(header | {"members": 0}, []),
    "a network too many": lambda content, header, arrays: resigned(
        header | {"members": header["members"] + 1}, arrays
    ),
    "an array too many": lambda content, header, arrays: resigned(header, [*arrays, arrays[0]]),
    "no numbers": lambda content, header, arrays: resigned(
        header, [np.full_like(arrays[0], np.nan), *arrays[1:]]
    ),
    "text for weights": lambda content, header, arrays: resigned(
        header, [arrays[0].astype(np.float32).astype("U8"), *arrays[1:]]
    ),
    "a nested header": lambda content, header, arrays: packed(
        [np.frombuffer(b"[" * 100_000, np.uint8), *arrays]
    ),
    "falling quantiles": lambda content, header, arrays: resigned(
        header, [*arrays[:-1], -arrays[-1]]
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_error_for_a_damaged_or_foreign_file_names_it_and_the_way_back(
    tmp_path: Path, damage: str
) -> None:
    path = write(pretrained(), tmp_path)
    content = path.read_bytes()
    label, *arrays = unpacked(content)
    changed = DAMAGES[damage](content, json.loads(label.tobytes()), arrays)
    assert changed != content
    path.write_bytes(changed)
    with pytest.raises(InvalidFile) as refusal:
        read(path)
    assert str(path) in str(refusal.value)
    assert "learn it anew with `stockml pretrain`" in str(refusal.value)


def test_no_flipped_bit_is_read_as_another_network(tmp_path: Path) -> None:
    path = write(pretrained(), tmp_path)
    content, said = path.read_bytes(), digest(pretrained())
    for place in np.random.default_rng(4).integers(0, len(content), 300):
        path.write_bytes(bit_flipped(content, int(place)))
        try:
            found = digest(read(path))
        except InvalidFile:
            continue
        assert found == said  # the bit changed no content: a date in the archive, for example


def test_nothing_pickled_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "network-2004-06.npz"
    np.savez(path, **{"000": np.array([{"through": "2004-06-30"}], dtype=object)})  # type: ignore[arg-type]
    with pytest.raises(
        InvalidFile,
        match=r"expected a pretrained network, found no \.npz of plain arrays; learn it anew",
    ):
        read(path)
