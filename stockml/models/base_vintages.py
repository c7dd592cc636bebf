"""Base networks as small files, one a vintage: what is shipped, and which of them may be used for a date.

A file is an .npz of plain arrays, nothing that runs: a header in JSON first, then the weights. The header's SHA-256 is
that of all the rest, names and numbers. Weights are in half precision, which is what they were scored in.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stockml.errors import InvalidFile
from stockml.features.width_inputs import INPUTS, InputScale
from stockml.models.base_network import CURVES, LOOK_BACK, BaseNetwork, Member
from stockml.models.pooled_regression import LEADS, LEVELS
from stockml.models.pooled_vintages import WAY_BACK, named
from stockml.storage.arrays import packed, unpacked
from stockml.storage.files import write_atomically

FORMAT = "stockml base network, 1"
KIND, PATTERN = "base network", "base-*.npz"
LARGEST = 16_000_000  # bytes
FOREIGN = (OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, IndexError, MemoryError, SyntaxError)


def file_name(through: date) -> str:
    """`base-2005-06.npz`: the month of the last session that was seen."""
    return f"base-{through:%Y-%m}.npz"


def write(base: BaseNetwork, folder: Path) -> Path:
    """Write the vintage, atomically, under the name of its last month; equal values give equal bytes.

    Weights are rounded to half precision; those of `pretrain` already are.
    """
    path = folder / file_name(base.through)
    header, arrays = _header(base), _arrays(base)
    header["sha256"] = _digest(header, arrays)
    write_atomically(path, packed([np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), *arrays]))
    return path


def digest(base: BaseNetwork) -> str:
    """The SHA-256 that stands in the vintage's file: what a night's key needs of it."""
    return _digest(_header(base), _arrays(base))


def read(path: Path) -> BaseNetwork:
    """What `write` wrote. Raises InvalidFile that names the file when it is missing, damaged or something else."""
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"{path.stat().st_size:,} bytes")
        label, *arrays = unpacked(path.read_bytes())
        header = json.loads(label.tobytes())
        said = header.pop("sha256")
        found = _digest(header, arrays)
    except FOREIGN as problem:
        raise InvalidFile(str(path), f"expected a base network, found {named(problem)}; {WAY_BACK}") from problem
    if said != found:
        raise InvalidFile(str(path), f"expected content of SHA-256 {str(said)[:64]}, found {found}; {WAY_BACK}")
    try:
        base = _base(header, arrays)
    except FOREIGN as problem:
        raise InvalidFile(str(path), f"expected a base network, found {named(problem)}; {WAY_BACK}") from problem
    if path.name != file_name(base.through):
        raise InvalidFile(str(path), f"expected the name {file_name(base.through)}; rename it, or {WAY_BACK}")
    return base


def _header(base: BaseNetwork) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "through": base.through.isoformat(),
        "tickers": list(base.tickers),
        "sessions": base.sessions,
        "origins": base.origins,
        **_SHAPED,
        "means": base.scale.means.tolist(),
        "deviations": base.scale.deviations.tolist(),
        "members": [{"corrects": member.corrects, "layers": len(member.layers)} for member in base.members],
        "scores": dict(base.scores),
    }


_SHAPED = {
    "inputs": list(INPUTS),
    "look_back": LOOK_BACK,
    "curves": CURVES,
    "levels": LEVELS.tolist(),
    "leads": list(LEADS),
}


def _arrays(base: BaseNetwork) -> list[NDArray[Any]]:
    """Of each member its weights in half precision, then its shape in single."""
    found: list[NDArray[Any]] = []
    for member in base.members:
        weights = [array for part in (*member.layers, member.dense, member.head) for array in part]
        found += [array.astype("<f2") for array in weights] + [member.shape.astype("<f4")]
    return found


def _base(header: dict[str, Any], arrays: list[NDArray[Any]]) -> BaseNetwork:
    for name, wanted in {"format": FORMAT, **_SHAPED}.items():
        if header[name] != wanted:
            raise ValueError(f"{name} {str(header[name])[:80]} instead of {str(wanted)[:80]}")
    for array in arrays:
        if array.dtype not in (np.dtype("<f2"), np.dtype("<f4")):
            raise ValueError(f"an array of {array.dtype} among the weights")
    left = iter([array.astype(np.float32) for array in arrays])
    members = tuple(_member(bool(each["corrects"]), int(each["layers"]), left) for each in header["members"])
    if next(left, None) is not None:
        raise ValueError("more arrays than its networks have")
    return BaseNetwork(
        through=date.fromisoformat(header["through"]),
        tickers=tuple(map(str, header["tickers"])),
        sessions=int(header["sessions"]),
        origins=int(header["origins"]),
        scale=InputScale(*(np.array(header[name], dtype=np.float64) for name in ("means", "deviations"))),
        members=members,
        scores={str(name): float(score) for name, score in header["scores"].items()},
    )


def _member(corrects: bool, layers: int, left: Iterator[NDArray[np.float32]]) -> Member:
    def take(count: int) -> tuple[NDArray[np.float32], ...]:
        found = tuple(islice(left, count))
        if len(found) < count:
            raise ValueError("fewer arrays than its networks need")
        return found

    recurrent = [take(3) for _ in range(layers)]
    dense, head, (shape,) = take(2), take(2), take(1)
    return Member(
        corrects,
        tuple((kernel, own, bias) for kernel, own, bias in recurrent),
        (dense[0], dense[1]),
        (head[0], head[1]),
        shape,
    )


def _digest(header: dict[str, Any], arrays: list[NDArray[Any]]) -> str:
    found = hashlib.sha256(json.dumps(header, sort_keys=True, separators=(",", ":")).encode())
    for array in arrays:
        found.update(f"{array.dtype.str} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
