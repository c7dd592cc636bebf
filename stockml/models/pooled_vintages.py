"""Pooled regressions as small files, one a vintage: what is shipped, and which of them may be used for a date.

A file is JSON: numbers and names, nothing that runs. Its SHA-256 stands in it, over all the rest of it.
"""

import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from stockml.errors import InvalidFile
from stockml.models.pooled_regression import LEADS, LEVELS, TERMS, PooledRegression
from stockml.storage.files import write_atomically

SHIPPED = Path(__file__).parent / "vintages"
KIND, PATTERN = "pooled regression", "pooled-*.json"
FORMAT = "stockml pooled regression, 1"
WAY_BACK = "take the file from the release again, or make it anew (README.md beside it)"


def file_name(through: date) -> str:
    """`pooled-2005-06.json`: the month of the last session that was seen."""
    return f"pooled-{through:%Y-%m}.json"


def write(model: PooledRegression, folder: Path) -> Path:
    """Write the vintage, atomically, under the name of its last month; equal values give equal bytes."""
    path = folder / file_name(model.through)
    content = _record(model)
    record = content | {"sha256": _digest(content)}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in record.items()]
    write_atomically(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
    return path


def digest(model: PooledRegression) -> str:
    """The SHA-256 that stands in the vintage's file: what a night's key needs of it."""
    return _digest(_record(model))


def read(path: Path) -> PooledRegression:
    """What `write` wrote. Raises InvalidFile that names the file when it is missing, damaged or something else."""
    try:
        record = json.loads(path.read_bytes())
        said = record.pop("sha256")
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as problem:
        raise InvalidFile(str(path), f"expected a pooled regression, found {named(problem)}; {WAY_BACK}") from problem
    if said != (found := _digest(record)):
        raise InvalidFile(str(path), f"expected content of SHA-256 {str(said)[:64]}, found {found}; {WAY_BACK}")
    try:
        model = _model(record)
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise InvalidFile(str(path), f"expected a pooled regression, found {named(problem)}; {WAY_BACK}") from problem
    if path.name != file_name(model.through):
        raise InvalidFile(str(path), f"expected the name {file_name(model.through)}; rename it, or {WAY_BACK}")
    return model


def _record(model: PooledRegression) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "through": model.through.isoformat(),
        "tickers": list(model.tickers),
        "sessions": model.sessions,
        "origins": model.origins,
        "levels": LEVELS.tolist(),
        "leads": list(LEADS),
        "terms": list(TERMS),
        "means": model.means.tolist(),
        "intercepts": model.intercepts.tolist(),
        "coefficients": model.coefficients.tolist(),
        "shapes": {name: shape.tolist() for name, shape in sorted(model.shapes.items())},
    }


def _model(record: dict[str, Any]) -> PooledRegression:
    for name, wanted in {
        "format": FORMAT,
        "levels": LEVELS.tolist(),
        "leads": list(LEADS),
        "terms": list(TERMS),
    }.items():
        if record[name] != wanted:
            raise ValueError(f"{name} {str(record[name])[:80]} instead of {wanted}")
    arrays = {name: np.array(record[name], dtype=np.float64) for name in ("means", "intercepts", "coefficients")}
    shapes = {name: np.array(shape, dtype=np.float64) for name, shape in record["shapes"].items()}
    through, tickers = date.fromisoformat(record["through"]), tuple(map(str, record["tickers"]))
    return PooledRegression(through, tickers, int(record["sessions"]), int(record["origins"]), **arrays, shapes=shapes)


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def named(problem: Exception) -> str:
    """A foreign error in short, of the base networks' files too."""
    return f"{type(problem).__name__}: {str(problem)[:160]}"
