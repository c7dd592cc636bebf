"""A ticker's network: the pretrained one, and what training on the ticker has made of it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stockml.models.baselines import published_median
from stockml.models.pretrained_network import PretrainedNetwork
from stockml.models.ridge_regression import RIDGE
from stockml.models.vintage_set import VintageSet
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

FINE_TUNED, PRETRAINED = "fine-tuned network", "pretrained network"


@dataclass(frozen=True, eq=False)
class TickerNetwork:
    """Forecasts a ticker's width, by the fine-tuned network if `used`, else by its vintages'
    pretrained one.

    fine_tuned: None where nothing was trained.  learned_until: the last session that any of it has
    seen.
    """

    vintages: VintageSet
    fine_tuned: PretrainedNetwork | None
    used: bool
    learned_until: np.datetime64

    forecasts_path: ClassVar[bool] = False
    scale: ClassVar[None] = None  # it forecasts ratios, whatever the prices

    @property
    def weights(self) -> tuple[NDArray[np.float32], ...]:
        """The fine-tuned network's, as `PretrainedNetwork.arrays`; the pretrained one's are in its
        vintage's file."""
        return self.fine_tuned.arrays() if self.fine_tuned else ()

    @property
    def width_by(self) -> str:
        """Whose width it forecasts: FINE_TUNED, PRETRAINED or, without a network, RIDGE."""
        if self.vintages.pretrained is None:
            return RIDGE
        return FINE_TUNED if self.used else PRETRAINED

    def forecast(
        self, series: PriceSeries, origins: Indices, leads: Indices
    ) -> tuple[Floats, Floats | None]:
        """(m, leads) medians, and (m, leads, 21) quantiles symmetric about 0; None without a
        network."""
        median = published_median(series, origins, leads)
        if self.vintages.pretrained is None:
            return median, None
        network = self.fine_tuned if self.used else None
        return median, self.vintages.network_quantiles(series, origins, leads, network)

    def asdict(self) -> dict[str, Any]:
        """What is written of it beside the weights: the vintages as names and hashes only."""
        return {
            "pool": self.vintages.identity(),
            "reasons": dict(self.vintages.reasons),
            "used": self.used,
            "learned_until": str(self.learned_until),
        }
