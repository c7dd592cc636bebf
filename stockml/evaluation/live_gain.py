"""What the network's width is worth live: published forecasts against the ridge regression's,
pooled over tickers.

The ledger keeps seven quantiles, the median and the ends of three bands; both sides are scored on
these, symmetrised, by the mean pinball loss, which is proper as the CRPS is. The ridge regression
forecasts from the bars as known today, by the vintage that was the newest on the day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stockml.evaluation.candidates import by_vintages
from stockml.evaluation.distribution_scores import MONTH, PairedLosses, panel_diebold_mariano
from stockml.forecasts.proper_scores import BANDS, DieboldMariano, pinball
from stockml.models.regressions import LEVELS, symmetrised
from stockml.models.vintage_set import vintage_cache
from stockml.prices.calendar import A_DAY
from stockml.prices.series import PriceSeries
from stockml.storage.arrays import Floats, Indices

LEADS = (1, 5, 20)
KEPT = (*(f"low_{band}" for band in BANDS[::-1]), "path", *(f"high_{band}" for band in BANDS))
AT = np.array(
    [np.argmin(np.abs(LEVELS - level)) for level in (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)]
)


@dataclass(frozen=True)
class LiveGain:
    """At one lead: share of the ridge regression's loss that the network saves, over so many
    forecasts.

    test: by months of all tickers together; None with fewer than four.
    """

    lead: int
    tickers: int
    forecasts: int
    gain: float
    test: DieboldMariano | None


@vintage_cache()
def live_losses(
    series: PriceSeries, scored: pd.DataFrame, folders: Sequence[Path]
) -> dict[int, PairedLosses]:
    """By lead of LEADS, one ticker's losses; without a lead at which nothing has come due, or no
    price moved.

    series: split-adjusted, (n,).  scored: its `ledger_scores.scored_steps`; only live closes by a
    network count.
    """
    live = scored[
        (scored["timing"] == "live") & (scored["price"] == "close") & (scored["weight"] == 1)
    ]
    found = {}
    for lead in LEADS:
        steps = live[live["lead"] == lead].sort_values("session")
        sessions = steps["session"].to_numpy().astype("datetime64[D]")
        actual = np.log(steps["actual"].to_numpy(dtype=np.float64))
        if not actual.any():
            continue
        published = np.log(
            steps[[*KEPT]].to_numpy(dtype=np.float64)
            / steps[["last_value"]].to_numpy(dtype=np.float64)
        )
        ridge = _ridge(series, np.searchsorted(series.sessions, sessions), lead, folders)
        loss, reference = (
            pinball(symmetrised(each), actual, LEVELS[AT]).mean(axis=-1)
            for each in (published, ridge[:, AT])
        )
        found[lead] = PairedLosses(
            sessions, loss, reference, (float(1 - loss.mean() / reference.mean()),)
        )
    return found


def live_gains(tickers: Sequence[Mapping[int, PairedLosses]]) -> tuple[LiveGain, ...]:
    """Pool the tickers' `live_losses`, each in units of its reference's mean; only leads that some
    ticker has."""
    gains = []
    for lead in LEADS:
        if losses := [each[lead] for each in tickers if lead in each]:
            relative = np.concatenate([each.loss / each.reference.mean() for each in losses])
            test = panel_diebold_mariano(losses, MONTH)
            gains.append(
                LiveGain(lead, len(losses), len(relative), float(1 - relative.mean()), test)
            )
    return tuple(gains)


def _ridge(series: PriceSeries, origins: Indices, lead: int, folders: Sequence[Path]) -> Floats:
    """(m, 21) the ridge regression's quantiles after these origins, (m,)."""
    parts = [
        vintages.simple_quantiles(series, origins[at], np.array([lead]))[:, 0]
        for at, vintages in by_vintages((series.sessions[origins] + A_DAY).tolist(), folders)
    ]
    return np.concatenate(parts)
