"""What many tickers have taught, as small files, one a vintage; what is not what was written is refused.

A file holds a header of numbers and names, and plain arrays, nothing that runs. The header's SHA-256 is that of all the
rest, names and numbers.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from stockml.errors import InvalidFile
from stockml.models.base_network import BaseNetwork
from stockml.models.pooled_regression import PooledRegression
from stockml.storage.arrays import Arrays
from stockml.storage.files import write_atomically

LARGEST = 16_000_000  # bytes
WAY_BACK = "take the file from the release again, or make it anew (README.md beside it)"
FOREIGN = (OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, IndexError, MemoryError, SyntaxError)

Header = dict[str, Any]
Vintage = TypeVar("Vintage", PooledRegression, BaseNetwork)


@dataclass(frozen=True)
class VintageFiles(Generic[Vintage]):
    """One kind of vintage as files; `packed` and `unpacked` are of the header and the arrays.

    shaped: what of the header another version of the program may have otherwise, and is then refused.
    """

    kind: str
    pattern: str
    shaped: Mapping[str, Any]
    parts: Callable[[Vintage], tuple[Header, Arrays]]
    made: Callable[[Header, Arrays], Vintage]
    packed: Callable[[Header, Arrays], bytes]
    unpacked: Callable[[bytes], tuple[Header, Arrays]]

    def file_name(self, through: date) -> str:
        """`base-2005-06.npz`: the month of the last session that was seen."""
        return self.pattern.replace("*", f"{through:%Y-%m}")

    def write(self, vintage: Vintage, folder: Path) -> Path:
        """Write the vintage, atomically, under the name of its last month; equal values give equal bytes."""
        path, (header, arrays) = folder / self.file_name(vintage.through), self._described(vintage)
        write_atomically(path, self.packed(header | {"sha256": _digest(header, arrays)}, arrays))
        return path

    def digest(self, vintage: Vintage) -> str:
        """The SHA-256 that stands in the vintage's file: what a night's key needs of it."""
        return _digest(*self._described(vintage))

    def read(self, path: Path) -> Vintage:
        """What `write` wrote. Raises InvalidFile that names the file when it is missing, damaged or something else."""
        try:
            if (size := path.stat().st_size) > LARGEST:
                raise ValueError(f"{size:,} bytes")
            header, arrays = self.unpacked(path.read_bytes())
            signed, found = header.pop("sha256"), _digest(header, arrays)
            if signed != found:
                expected = f"expected content of SHA-256 {str(signed)[:64]}"
                raise InvalidFile(str(path), f"{expected}, found {found}; {WAY_BACK}")
            for name, wanted in self.shaped.items():
                if header[name] != wanted:
                    raise ValueError(f"{name} {str(header[name])[:80]} instead of {str(wanted)[:80]}")
            vintage = self.made(header, arrays)
        except FOREIGN as problem:
            what = f"{type(problem).__name__}: {str(problem)[:160]}"
            raise InvalidFile(str(path), f"expected a {self.kind}, found {what}; {WAY_BACK}") from problem
        if path.name != (name := self.file_name(vintage.through)):
            raise InvalidFile(str(path), f"expected the name {name}; rename it, or {WAY_BACK}")
        return vintage

    def _described(self, vintage: Vintage) -> tuple[Header, Arrays]:
        header, arrays = self.parts(vintage)
        learned_from = {
            "through": vintage.through.isoformat(),
            "tickers": list(vintage.tickers),
            "sessions": vintage.sessions,
            "origins": vintage.origins,
        }
        return {"format": self.shaped["format"], **learned_from, **self.shaped, **header}, arrays


def learned_from(header: Header) -> dict[str, Any]:
    """What both kinds say of what they were learned from."""
    return {
        "through": date.fromisoformat(header["through"]),
        "tickers": tuple(map(str, header["tickers"])),
        "sessions": int(header["sessions"]),
        "origins": int(header["origins"]),
    }


def _digest(header: Header, arrays: Arrays) -> str:
    found = hashlib.sha256(json.dumps(header, sort_keys=True, separators=(",", ":")).encode())
    for array in arrays:
        found.update(f"{array.dtype.str} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
