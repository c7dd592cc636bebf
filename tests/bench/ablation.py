"""What the shares and the feedback of `forecasts/publishing.py` are worth, each against leaving it out.

python -m tests.bench.ablation ../shared/kaggle-universe/Stocks 2011-09-15 2017-11-10

Each ticker's night of each session is trained and combined as in a home; CRPS and coverage are those of its test part.
"""

import sys
from datetime import date
from pathlib import Path

import numpy as np
from stockml.forecasts.publishing import Calibration

from stockml.errors import TooFewBars
from stockml.evaluation.candidates import Candidate, ScoringData
from stockml.forecasts.proper_scores import band, crps
from stockml.models.lead_grid import LEADS, moves
from stockml.models.retrain_policy import Decision
from stockml.prices.csv_import import read_folder
from stockml.prices.series import PriceSeries
from stockml.settings import Settings
from stockml.storage.arrays import Floats
from stockml.training.ticker_training import split_after_vintages, train_ticker

SETTINGS = Settings()
LEFT_OUT = ("feedback", "shares and feedback")


def night(series: PriceSeries) -> dict[str, tuple[float, float]]:
    """(CRPS / √lead, coverage of the 80 % band) as published, "", and with each of LEFT_OUT.  Raises TooFewBars."""
    split = split_after_vintages(series, SETTINGS.evaluation)
    model = train_ticker(series, SETTINGS, Decision("retrain", "ablation"), start=None)
    unseen = ScoringData.of(series, split, SETTINGS.evaluation, model)
    candidate, leads = Candidate.of(unseen, model), np.array(LEADS)
    test = slice(len(unseen.origins) - len(unseen.test), None)
    location = candidate.components.location[test, :, None]
    narrowed = np.exp(-candidate.test.feedback)[:, None, None]
    half = Calibration((0.5,) * SETTINGS.evaluation.horizon, 0.0).applied(candidate.components)[test]
    actual = moves(series, unseen.test, leads)

    def scores(quantiles: Floats) -> tuple[float, float]:
        low, high = band(at := quantiles[:, leads - 1], 0.8)
        return float((crps(at, actual) / np.sqrt(leads)).mean()), float(((actual >= low) & (actual <= high)).mean())

    published = candidate.test.quantiles
    found = "", *LEFT_OUT
    return dict(zip(found, map(scores, (published, location + (published - location) * narrowed, half)), strict=True))


def main() -> None:
    folder, *days = sys.argv[1:]
    for day in map(date.fromisoformat, days):
        nights = []
        for series in read_folder(Path(folder))[0].values():
            try:
                nights.append(night(series.through(day)))
            except TooFewBars:
                continue
        held = {name: 100 * np.array([each[name][1] for each in nights]) for name in nights[0]}
        off = {
            name: f"{found.mean():.1f} % held, off by {np.abs(found - 80).mean():.1f}" for name, found in held.items()
        }
        print(f"{day}, {len(nights)} tickers; as published: {off['']}")
        for name in LEFT_OUT:
            gain = np.array([100 * (1 - each[""][0] / each[name][0]) for each in nights])
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            print(
                f"  over leaving out {name}: {gain.mean():+.3f} % ± {error:.3f}, {(gain > 0).mean():.0%}; {off[name]}"
            )


if __name__ == "__main__":
    main()
