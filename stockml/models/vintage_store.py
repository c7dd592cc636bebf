"""Vintages of both regressions, the pretrained network and its replay as small files, refused if
they were changed.

A file holds a header of names and numbers, and plain arrays, nothing executable. A regression's is
JSON; the others are .npz, the header first, then weights or stretches in the half precision in
which they are used. The header's SHA-256 covers everything else, names and numbers.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stockml.errors import InvalidFile
from stockml.features.volatility import AVERAGED, INPUTS, InputScale
from stockml.models.pretrained_network import (
    LOOK_BACK,
    Member,
    PretrainedNetwork,
    Replay,
    Stretches,
)
from stockml.models.regressions import (
    BASIS_SIZE,
    LEADS,
    LEVELS,
    REGRESSION,
    RIDGE,
    TERMS,
    HarRegression,
    RidgeRegression,
    Vintage,
)
from stockml.storage.arrays import Arrays, labelled, unlabelled
from stockml.storage.files import write_atomically

SHIPPED = Path(__file__).parent / "vintages"
AS_SHIPPED = "take the file from the release again, or make it anew (README.md beside it)"
OWN = "learn it anew with `stockml pretrain`, or move the file away: an older one takes its place"
READ_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
)

Header = dict[str, Any]
_json = partial(json.dumps, sort_keys=True, default=np.ndarray.tolist)


@dataclass(frozen=True)
class VintageKind:
    """How a kind of vintage is kept in a file.  layout: header entries that must match, or the file
    is refused."""

    name: str
    type: type[Vintage]
    pattern: str
    layout: Mapping[str, Any]

    @property
    def fitted(self) -> list[str]:
        """The names of what it has learned, beyond the metadata of every vintage."""
        return [each.name for each in fields(self.type)[len(fields(Vintage)) :]]


def file_name(vintage: Vintage) -> str:
    """The file's name, `network-2005-06.npz`, with the month of the last session seen."""
    return _kind(vintage).pattern.replace("*", f"{vintage.through:%Y-%m}")


def write(vintage: Vintage, folder: Path) -> Path:
    """Write the vintage, atomically, under the name of its last month; equal values give equal
    bytes."""
    path, (header, arrays) = folder / file_name(vintage), _described(vintage)
    header |= {"sha256": _digest(header, arrays)}
    if arrays:
        content = labelled(header, arrays)
    else:
        lines = [f"{_json(name)}: {_json(value)}" for name, value in header.items()]
        content = ("{\n" + ",\n".join(lines) + "\n}\n").encode()
    write_atomically(path, content)
    return path


def digest(vintage: Vintage) -> str:
    """The SHA-256 in the vintage's file, which goes into a night's key."""
    return _digest(*_described(vintage))


def read(path: Path) -> Any:
    """Read what `write` wrote. Raises InvalidFile, naming the file, when it is missing, damaged or
    something else."""
    kind = next((kind for kind in KINDS.values() if path.match(kind.pattern)), KINDS["pretrained"])
    way_back = AS_SHIPPED if path.parent == SHIPPED else OWN
    try:
        content = path.read_bytes()
        header, arrays = unlabelled(content) if path.suffix == ".npz" else (json.loads(content), [])
        signed, found = header.pop("sha256"), _digest(header, arrays)
        if signed != found:
            expected = f"expected content of SHA-256 {str(signed)[:64]}"
            raise InvalidFile(str(path), f"{expected}, found {found}; {way_back}")
        for name, value in kind.layout.items():
            if header[name] != value:
                raise ValueError(f"{name} {str(header[name])[:80]} instead of {str(value)[:80]}")
        through, tickers = date.fromisoformat(header["through"]), tuple(map(str, header["tickers"]))
        learned_from = Vintage(through, tickers, int(header["sessions"]), int(header["origins"]))
        vintage = _vintage(kind, learned_from, header, arrays)
    except READ_ERRORS as problem:
        what = ("" if type(problem) is ValueError else f"{type(problem).__name__}: ") + str(
            problem
        )[:160]
        raise InvalidFile(
            str(path), f"expected a {kind.name}, found {what}; {way_back}"
        ) from problem
    if path.name != file_name(vintage):
        raise InvalidFile(
            str(path), f"expected the name {file_name(vintage)}; rename it, or {way_back}"
        )
    return vintage


def _kind(vintage: Vintage) -> VintageKind:
    return next(kind for kind in KINDS.values() if isinstance(vintage, kind.type))


def _described(vintage: Vintage) -> tuple[Header, Arrays]:
    learned_from = {
        "through": vintage.through.isoformat(),
        "tickers": list(vintage.tickers),
        "sessions": vintage.sessions,
        "origins": vintage.origins,
    }
    (header, arrays), layout = _parts(vintage), _kind(vintage).layout
    return {"format": layout["format"], **learned_from, **layout, **header}, arrays


def _digest(header: Header, arrays: Arrays) -> str:
    sha256 = hashlib.sha256(_json(header, separators=(",", ":")).encode())
    for array in arrays:
        sha256.update(f"{array.dtype.str} {array.shape}".encode() + array.tobytes())
    return sha256.hexdigest()


def _as_arrays(content: Any) -> Any:
    """The array, or arrays by name, that JSON holds as lists."""
    if isinstance(content, dict):
        return {name: np.array(each, dtype=np.float64) for name, each in content.items()}
    return np.array(content, dtype=np.float64)


def _parts(vintage: Vintage) -> tuple[Header, Arrays]:
    """What a vintage has learned, as entries of its header and as arrays: only networks and replay
    have these."""
    if isinstance(vintage, PretrainedNetwork):
        return _network_parts(vintage)
    if isinstance(vintage, Replay):
        part = vintage.stretches
        halves = [
            each.astype("<f2") for each in (part.inputs, part.sizes, part.log_widths, part.mask)
        ]
        return {"network": vintage.network}, [*halves, part.last.astype("<i8")]
    return {name: getattr(vintage, name) for name in _kind(vintage).fitted}, ()


def _network_parts(network: PretrainedNetwork) -> tuple[Header, Arrays]:
    """Each member's weights in half precision, then its shape in single."""
    header = {
        "means": network.scale.means.tolist(),
        "deviations": network.scale.deviations.tolist(),
        "members": len(network.members),
        "scores": dict(network.scores),
    }
    arrays: list[NDArray[Any]] = []
    for member in network.members:
        *weights, shape = member.arrays()
        arrays += [array.astype("<f2") for array in weights] + [shape.astype("<f4")]
    return header, arrays


def _vintage(
    kind: VintageKind, learned_from: Vintage, header: Header, arrays: list[NDArray[Any]]
) -> Vintage:
    """The inverse of `_parts`."""
    if kind.type is PretrainedNetwork:
        return _network(vars(learned_from), header, arrays)
    if kind.type is Replay:
        inputs, sizes, log_widths, mask, days = arrays
        stretches = Stretches(inputs, sizes, log_widths, mask, days.astype("datetime64[D]"))
        return Replay(**vars(learned_from), network=str(header["network"]), stretches=stretches)
    return kind.type(
        **vars(learned_from), **{name: _as_arrays(header[name]) for name in kind.fitted}
    )


def _network(
    learned_from: dict[str, Any], header: Header, arrays: list[NDArray[Any]]
) -> PretrainedNetwork:
    count = len(arrays) // max(int(header["members"]), 1)
    singles = [array.astype(np.float32) for array in arrays]
    return PretrainedNetwork(
        **learned_from,
        scale=InputScale(
            *(np.array(header[name], dtype=np.float64) for name in ("means", "deviations"))
        ),
        members=tuple(
            Member.of(singles[first : first + count]) for first in range(0, len(singles), count)
        ),
        scores={str(name): float(score) for name, score in header["scores"].items()},
    )


GRID = {"of": "close", "levels": LEVELS.tolist(), "leads": list(LEADS)}
WINDOWS = {"inputs": list(INPUTS), "look_back": LOOK_BACK, "curves": BASIS_SIZE}
KINDS = {
    "regression": VintageKind(
        name=REGRESSION,
        type=HarRegression,
        pattern="regression-*.json",
        layout={"format": "stockml regression, 2", **GRID, "terms": list(TERMS)},
    ),
    "ridge": VintageKind(
        name=RIDGE,
        type=RidgeRegression,
        pattern="ridge-*.json",
        layout={
            "format": "stockml ridge regression, 2",
            "inputs": list(AVERAGED),
            "curves": BASIS_SIZE,
            **GRID,
        },
    ),
    "pretrained": VintageKind(
        name="pretrained network",
        type=PretrainedNetwork,
        pattern="network-*.npz",
        layout={"format": "stockml pretrained network, 2", **WINDOWS, **GRID},
    ),
    "replay": VintageKind(
        name="replay of a pretrained network",
        type=Replay,
        pattern="replay-*.npz",
        layout={"format": "stockml replay, 1", **WINDOWS, **GRID},
    ),
}
