"""Pooled regressions as JSON files, and where those are that are shipped."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from stockml.models.pooled_regression import LEADS, LEVELS, TERMS, PooledRegression
from stockml.models.vintage_files import Header, VintageFiles, learned_from
from stockml.storage.arrays import Arrays

SHIPPED = Path(__file__).parent / "vintages"
FITTED = ("means", "intercepts", "coefficients")


def _parts(model: PooledRegression) -> tuple[Header, Arrays]:
    fitted = {name: getattr(model, name).tolist() for name in FITTED}
    return fitted | {"shapes": {name: shape.tolist() for name, shape in sorted(model.shapes.items())}}, ()


def _made(header: Header, _: Arrays) -> PooledRegression:
    fitted: dict[str, Any] = {name: np.array(header[name], dtype=np.float64) for name in FITTED}
    shapes = {name: np.array(shape, dtype=np.float64) for name, shape in header["shapes"].items()}
    return PooledRegression(**learned_from(header), **fitted, shapes=shapes)


def _packed(header: Header, _: Arrays) -> bytes:
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in header.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


POOLED_VINTAGES = VintageFiles(
    kind="pooled regression",
    pattern="pooled-*.json",
    shaped={
        "format": "stockml pooled regression, 1",
        "levels": LEVELS.tolist(),
        "leads": list(LEADS),
        "terms": list(TERMS),
    },
    parts=_parts,
    made=_made,
    packed=_packed,
    unpacked=lambda content: (json.loads(content), ()),
)
digest, read, write = POOLED_VINTAGES.digest, POOLED_VINTAGES.read, POOLED_VINTAGES.write
