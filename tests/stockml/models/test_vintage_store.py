"""Regressions as files: they read back as written, and a damaged or foreign file is refused by
name."""

import hashlib
import json
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from stockml.errors import InvalidFile
from stockml.models.har_regression import HarRegression
from stockml.models.vintage_store import SHIPPED, digest, read, write
from tests.support.walks import walk


@pytest.fixture(scope="module")
def model() -> HarRegression:
    return HarRegression.fit({f"T{i}": walk(700, seed=i) for i in range(3)}, date(2002, 6, 30))


def test_a_regression_reads_back_as_written_and_equal_values_give_equal_bytes(
    model: HarRegression, tmp_path: Path
) -> None:
    path = write(model, tmp_path)
    found, content = read(path), path.read_bytes()
    assert path.name == "regression-2002-06.json"
    assert (found.through, found.tickers, found.sessions) == (
        model.through,
        model.tickers,
        model.sessions,
    )
    assert digest(found) == digest(model) == json.loads(content)["sha256"]
    origins, leads = np.array([100, 600]), np.arange(1, 51)
    np.testing.assert_array_equal(
        found.quantiles(walk(700), origins, leads), model.quantiles(walk(700), origins, leads)
    )
    assert write(found, tmp_path).read_bytes() == content


def resigned(record: dict[str, object]) -> str:
    """A record whose SHA-256 matches, as after a deliberate change."""
    rest = {name: value for name, value in record.items() if name != "sha256"}
    sha256 = hashlib.sha256(
        json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()
    return json.dumps(rest | {"sha256": sha256})


DAMAGES = {
    "empty": lambda text, record: "",
    "cut short": lambda text, record: text[: len(text) // 2],
    "binary": lambda text, record: "\x00\x01\x02",
    "another JSON": lambda text, record: "[1, 2]",
    "another record": lambda text, record: json.dumps({"sha256": "0"}),
    "a digit changed": lambda text, record: text.replace('"origins": 2', '"origins": 3', 1),
    "no SHA-256": lambda text, record: json.dumps(
        {k: v for k, v in record.items() if k != "sha256"}
    ),
    "another format": lambda text, record: resigned(record | {"format": "stockml regression, 1"}),
    "other leads": lambda text, record: resigned(record | {"leads": [1, 2]}),
    "fewer means": lambda text, record: resigned(record | {"means": [0.0]}),
    "no number": lambda text, record: resigned(record | {"means": [float("nan")] * 6}),
    "no shapes": lambda text, record: resigned(record | {"shapes": {}}),
    "falling quantiles": lambda text, record: resigned(
        record
        | {"shapes": {name: [rows[0][::-1], *rows[1:]] for name, rows in record["shapes"].items()}}
    ),
    "more than a vintage needs": lambda text, record: text + " " * 16_000_000,
    "nested": lambda text, record: "[" * 100_000,
    "no date": lambda text, record: resigned(record | {"through": "lately"}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_error_for_a_damaged_or_foreign_file_names_it_and_the_way_back(
    model: HarRegression, tmp_path: Path, damage: str
) -> None:
    path = write(model, tmp_path)
    text = path.read_text()
    changed = DAMAGES[damage](text, json.loads(text))
    assert changed != text
    path.write_text(changed)
    with pytest.raises(InvalidFile) as refusal:
        read(path)
    assert str(path) in str(refusal.value)
    assert "learn it anew with `stockml pretrain`" in str(refusal.value)


def test_the_error_for_a_missing_or_renamed_file_names_it(
    model: HarRegression, tmp_path: Path
) -> None:
    renamed = write(model, tmp_path).rename(tmp_path / "regression-1999-06.json")
    for path in (renamed, tmp_path / "regression-2001-01.json"):
        with pytest.raises(InvalidFile, match=path.name):
            read(path)


def test_the_error_for_a_missing_shipped_vintage_points_to_the_release() -> None:
    with pytest.raises(
        InvalidFile, match=r"regression-1980-01.*take the file from the release again"
    ):
        read(SHIPPED / "regression-1980-01.json")


@pytest.mark.parametrize("pattern", ["regression-*.json", "ridge-*.json", "network-*.npz"])
def test_shipped_vintages_are_sound_small_described_and_at_most_two_years_apart(
    pattern: str,
) -> None:
    paths, described = (
        sorted(SHIPPED.glob(pattern)),
        (SHIPPED / "README.md").read_text(encoding="utf-8"),
    )
    ends = [read(path).through for path in paths]
    assert (ends[0], ends[-1]) == (date(1999, 6, 30), date(2017, 6, 30))
    assert all((later - sooner).days <= 2 * 366 for sooner, later in pairwise(ends))
    assert ends == [read(path).through for path in sorted(SHIPPED.glob("regression-*.json"))]
    for path in paths:
        assert path.stat().st_size < 400_000
        assert hashlib.sha256(path.read_bytes()).hexdigest() in described
    assert "were still listed" in described
    assert "all training tickers are survivors" in described
