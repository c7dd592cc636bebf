"""Base networks as .npz files: a header in JSON, then the weights in the half precision that they were scored in."""

import json
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stockml.features.width_inputs import INPUTS, InputScale
from stockml.models.base_network import CURVES, LOOK_BACK, BaseNetwork, Member
from stockml.models.pooled_regression import LEADS, LEVELS
from stockml.models.vintage_files import Header, VintageFiles, learned_from
from stockml.storage.arrays import Arrays, packed, unpacked


def _parts(base: BaseNetwork) -> tuple[Header, Arrays]:
    """Of each network its weights in half precision, then its shape in single."""
    header = {
        "means": base.scale.means.tolist(),
        "deviations": base.scale.deviations.tolist(),
        "members": [{"corrects": member.corrects, "layers": len(member.layers)} for member in base.members],
        "scores": dict(base.scores),
    }
    arrays: list[NDArray[Any]] = []
    for member in base.members:
        weights = [array for part in (*member.layers, member.dense, member.head) for array in part]
        arrays += [array.astype("<f2") for array in weights] + [member.shape.astype("<f4")]
    return header, arrays


def _made(header: Header, arrays: Arrays) -> BaseNetwork:
    for array in arrays:
        if array.dtype not in (np.dtype("<f2"), np.dtype("<f4")):
            raise ValueError(f"an array of {array.dtype} among the weights")
    left = iter([array.astype(np.float32) for array in arrays])

    def take(count: int) -> tuple[NDArray[np.float32], ...]:
        taken = tuple(islice(left, count))
        if len(taken) < count:
            raise ValueError("fewer arrays than its networks need")
        return taken

    members: list[Any] = [
        (bool(each["corrects"]), tuple(take(3) for _ in range(int(each["layers"]))), take(2), take(2), *take(1))
        for each in header["members"]
    ]
    if next(left, None) is not None:
        raise ValueError("more arrays than its networks have")
    return BaseNetwork(
        **learned_from(header),
        scale=InputScale(*(np.array(header[name], dtype=np.float64) for name in ("means", "deviations"))),
        members=tuple(Member(*parts) for parts in members),
        scores={str(name): float(score) for name, score in header["scores"].items()},
    )


def _packed(header: Header, arrays: Arrays) -> bytes:
    return packed([np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), *arrays])


def _unpacked(content: bytes) -> tuple[Header, Arrays]:
    label, *arrays = unpacked(content)
    return json.loads(label.tobytes()), arrays


BASE_VINTAGES = VintageFiles(
    kind="base network",
    pattern="base-*.npz",
    shaped={
        "format": "stockml base network, 1",
        "inputs": list(INPUTS),
        "look_back": LOOK_BACK,
        "curves": CURVES,
        "levels": LEVELS.tolist(),
        "leads": list(LEADS),
    },
    parts=_parts,
    made=_made,
    packed=_packed,
    unpacked=_unpacked,
)
digest, read, write = BASE_VINTAGES.digest, BASE_VINTAGES.read, BASE_VINTAGES.write
