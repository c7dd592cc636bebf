"""Differences between two things that were kept are named down to the single value."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from stockml.storage.differences import compare


def test_differences_are_named_down_to_the_single_value_and_times_do_not_count(tmp_path: Path) -> None:
    def left(name: str, skill: float, weight: float, path: float, extra: str | None = None) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        told = {"gate": {"skill": skill, "at": name, "leads": [1.0, 2.0]}, "seconds": len(name)}
        (folder / "model.json").write_text(json.dumps(told))
        np.savez(folder / "weights.npz", kernel=np.array([[1.0, np.nan], [weight, 0.0]]))
        frame = pd.DataFrame({"path": [path, 2.0], "published_at": [name, name]})
        frame.to_parquet(folder / "ledger.parquet")
        if extra:
            (folder / extra).write_bytes(b"1")
        return folder

    one = left("one", 0.1, 3.0, 1.5)
    assert compare(one, left("another", 0.1, 3.0, 1.5)).differences == ()
    assert compare(one, one).values == 1 + 2 + 4 + 2
    assert compare(one, left("third", 0.2, 4.0, 1.25, "more")).differences == (
        "ledger.parquet: path: 1 of 2 values, first at [0]: 1.5 and 1.25",
        "model.json: gate.skill: 0.1 and 0.2",
        "more: only in the second",
        "weights.npz: kernel: 1 of 4 values, first at [1, 0]: 3.0 and 4.0",
    )


def test_arrays_of_another_shape_or_type_and_a_value_that_one_lacks_differ(tmp_path: Path) -> None:
    def left(name: str, array: np.ndarray) -> Path:
        np.savez(tmp_path / f"{name}.npz", kernel=array)
        return tmp_path / f"{name}.npz"

    one = left("one", np.array([1.0, np.nan]))
    others = [np.array([1.0, 2.0]), np.array([1.0]), np.array([1.0, np.nan], dtype=np.float32)]
    assert [compare(one, left("other", each)).differences for each in others] == [
        ("npz: kernel: 1 of 2 values, first at [1]: nan and 2.0",),
        ("npz: kernel: float64[2] and float64[1]",),
        ("npz: kernel: float64[2] and float32[2]",),
    ]
