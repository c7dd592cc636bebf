"""Stretches of many tickers from which a pretrained network learned, replayed while it is trained
on one ticker."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stockml.features.width_inputs import INPUTS
from stockml.models.har_regression import ORIGIN_STRIDE, Vintage
from stockml.models.lead_grid import LEADS
from stockml.models.pretrained_network import LOOK_BACK
from stockml.storage.arrays import Days, Indices

ORIGINS_A_STRETCH = 8
SAMPLE = 250  # stretches, 0.8 MB: of ten shipped vintages, less than 8 MB
STRETCH = LOOK_BACK + ORIGIN_STRIDE * (ORIGINS_A_STRETCH - 1)  # sessions


@dataclass(frozen=True, eq=False)
class Stretches:
    """What a network learns from: s stretches of eight origins each, five sessions apart.

    inputs: (s, 99, 14), scaled.  sizes: (s, 8, 11), |move| at LEADS in units of the EWMA 60
    volatility · √lead. log_widths: (s, 8, 11), ln of the ridge regression's widths in these.  mask:
    (s, 8), 1 for an origin that counts. last: (s,), the last session that each stretch knows, that
    of its last outcome.
    """

    inputs: NDArray[np.floating]
    sizes: NDArray[np.floating]
    log_widths: NDArray[np.floating]
    mask: NDArray[np.floating]
    last: Days

    def __len__(self) -> int:
        return len(self.last)

    def at(self, rows: Indices) -> Self:
        """The stretches of these rows."""
        return type(self)(*(each[rows] for each in vars(self).values()))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The stretches of at least one part, one after another."""
        return cls(
            *(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls))
        )


@dataclass(frozen=True, eq=False)
class Replay(Vintage):
    """A sample of a vintage's stretches, in half precision.  network: SHA-256 of the one that
    learned from them.

    Raises ValueError for a stretch that ends after the vintage, or arrays that do not fit.
    """

    network: str
    stretches: Stretches

    def __post_init__(self) -> None:
        part, count = self.stretches, len(self.stretches)
        by_origin = (count, ORIGINS_A_STRETCH)
        shapes = (
            (count, STRETCH, len(INPUTS)),
            (*by_origin, len(LEADS)),
            (*by_origin, len(LEADS)),
            by_origin,
        )
        arrays = part.inputs, part.sizes, part.log_widths, part.mask
        if not count or any(
            each.shape != shape for each, shape in zip(arrays, shapes, strict=True)
        ):
            raise ValueError(
                f"expected stretches of {STRETCH} sessions, found arrays of other shapes"
            )
        if not all(np.isfinite(each).all() for each in arrays):
            raise ValueError("expected finite numbers, found others")
        if (newest := part.last.max().item()) > self.through:
            raise ValueError(
                f"expected stretches through {self.through}, found one that ends on {newest}"
            )

    @classmethod
    def of(cls, stretches: Stretches, learned_from: Vintage, network: str) -> Self:
        """SAMPLE of the stretches, drawn by chance, the same each time, in half precision."""
        rows = np.sort(np.random.default_rng(SAMPLE).permutation(len(stretches))[:SAMPLE])
        part = stretches.at(rows)
        inputs, sizes, log_widths, mask = (
            each.astype(np.float16)
            for each in (part.inputs, part.sizes, part.log_widths, part.mask)
        )
        facts = Vintage(
            **{name: getattr(learned_from, name) for name in Vintage.__dataclass_fields__}
        )
        return cls(
            **vars(facts),
            network=network,
            stretches=Stretches(inputs, sizes, log_widths, mask, part.last),
        )
