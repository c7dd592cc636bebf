"""Differences between two folders or files: JSON by leaf, arrays and columns by name, anything else by its bytes."""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

ROUNDING = 1e-6  # of an array's largest value: the last bits of a matrix product depend on its shape and the processor
TIMES = ("seconds", "at", "published_at", "recorded_at", "finished_at")  # times and durations are no results


@dataclass(frozen=True)
class Compared:
    """How many values were compared, and a description of each one that differs."""

    values: int
    differences: tuple[str, ...]


def compare(one: Path, two: Path) -> Compared:
    """Compare two files, or two folders by paths relative to each; paths inside the contents count as content."""
    first, second = (dict(_leaves(path)) for path in (one, two))
    names = sorted({*first, *second})
    texts = [_difference(name, first, second) for name in names]
    return Compared(sum(max(_size(first.get(n)), _size(second.get(n))) for n in names), tuple(filter(None, texts)))


def _leaves(path: Path) -> Iterator[tuple[str, Any]]:
    if path.is_dir():
        for file in sorted(below for below in path.rglob("*") if below.is_file() and not below.name.startswith(".")):
            yield from _values(str(file.relative_to(path)), file)
    else:
        yield from _values(path.suffix.removeprefix("."), path)


def _values(name: str, file: Path) -> Iterator[tuple[str, Any]]:
    content = file.read_bytes()
    match file.suffix:
        case ".json":
            yield from _json(name, json.loads(content))
        case ".jsonl":
            yield from _json(name, [json.loads(line) for line in content.splitlines() if line])
        case ".npz":
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                yield from ((f"{name}: {column}", arrays[column]) for column in arrays.files)
        case ".parquet":
            table = pq.read_table(io.BytesIO(content))
            columns = [column for column in table.column_names if column not in TIMES]
            yield from ((f"{name}: {column}", table[column].to_numpy(zero_copy_only=False)) for column in columns)
        case _:
            yield name, content


def _json(name: str, content: Any) -> Iterator[tuple[str, Any]]:
    match content:
        case dict():
            for key, value in content.items():
                if key not in TIMES:
                    yield from _json(f"{name}: {key}" if ": " not in name else f"{name}.{key}", value)
        case list() if not all(isinstance(item, int | float) for item in content):
            for number, value in enumerate(content):
                yield from _json(f"{name}[{number}]", value)
        case list():
            yield name, np.array(content, dtype=np.float64)
        case _:
            yield name, content


def _difference(name: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> str | None:
    if name not in first or name not in second:
        return f"{name}: only in the {'first' if name in first else 'second'}"
    one, two = first[name], second[name]
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        return _array_difference(name, one, two)
    is_rounding = isinstance(one, float) and isinstance(two, float) and isclose(one, two, rel_tol=ROUNDING)
    return (
        None if is_rounding or (type(one) is type(two) and one == two) else f"{name}: {_short(one)} and {_short(two)}"
    )


def _array_difference(name: str, one: Any, two: Any) -> str | None:
    if one.shape != two.shape or one.dtype != two.dtype:
        return f"{name}: {one.dtype}{list(one.shape)} and {two.dtype}{list(two.shape)}"
    differs = (one != two) & ~(pd.isna(one) & pd.isna(two))
    if one.dtype.kind == "f":
        differs &= ~(np.abs(one - two) <= ROUNDING * np.max(np.abs(one), where=np.isfinite(one), initial=0.0))
    if not differs.any():
        return None
    at = tuple(np.argwhere(differs)[0].tolist())
    return f"{name}: {int(differs.sum())} of {differs.size} values, first at {list(at)}: {one[at]} and {two[at]}"


def _size(value: Any) -> int:
    return int(value.size) if isinstance(value, np.ndarray) else int(value is not None)


def _short(value: Any) -> str:
    text = f"{len(value)} bytes" if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
