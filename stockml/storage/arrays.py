"""Arrays as .npz bytes, and the array types used throughout."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]  # of sessions in a series, or of rows
Days = NDArray[np.datetime64]  # datetime64[D]
Arrays = Sequence[NDArray[Any]]


def check_array(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise ValueError if the array has another shape, or numbers that are not finite."""
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"expected {name} to be finite numbers {shape}, found {array.shape}")


def packed(arrays: Sequence[NDArray[Any]]) -> bytes:
    """The arrays as .npz bytes, in order."""
    return packed_by_name({f"{i:03d}": array for i, array in enumerate(arrays)})


def packed_by_name(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as .npz bytes; numpy's zip members carry a fixed date, so equal arrays give equal
    bytes."""
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def unpacked(content: bytes) -> tuple[NDArray[Any], ...]:
    """The arrays in bytes from `packed`. Raises ValueError for other bytes."""
    return tuple(unpacked_by_name(content).values())


def unpacked_by_name(content: bytes) -> dict[str, NDArray[Any]]:
    """The inverse of `packed_by_name`. Raises ValueError for other bytes, also if they unpack to
    more than they are."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            if sum(member.file_size for member in archive.zip.infolist()) > len(content):
                raise ValueError
            return dict(archive)
    except Exception as error:
        raise ValueError("no .npz of plain arrays") from error


def labelled(label: dict[str, Any], arrays: Arrays) -> bytes:
    """The arrays as `packed`, with a JSON label before them."""
    return packed([np.frombuffer(json.dumps(label).encode(), dtype=np.uint8), *arrays])


def unlabelled(content: bytes) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """The label and the arrays in bytes from `labelled`. Raises ValueError for other bytes."""
    label, *arrays = unpacked(content)
    return json.loads(label.tobytes()), arrays
