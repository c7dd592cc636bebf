"""What speaks against a series as a whole is said, and of sound prices nothing."""

import numpy as np
import pandas as pd
import pytest

from stockml.prices.bars import Bars
from stockml.prices.csv_import import read_folder
from stockml.prices.screening import suspicions
from tests.support.recordings import recorded

IBM = recorded("IBM").iloc[-1_000:]
PRICES = ["open", "high", "low", "close"]


def times(factor: float, *stops: int) -> Bars:
    bars = IBM.copy()
    for stop in stops:
        bars.loc[bars.index[:stop], PRICES] *= factor
        bars.loc[bars.index[:stop], "volume"] /= factor
    return bars


def still(share: float) -> Bars:
    bars = IBM.copy()
    bars.iloc[round(len(bars) * (1 - share)) - 1 :, :4] = 200.0
    return bars


@pytest.mark.parametrize(
    ("bars", "aside", "said"),
    [
        (IBM, 0, ""),
        (IBM, 2, ""),
        (IBM, 3, "3 of 1,003 bars are set aside"),
        (IBM.tail(50), 2, ""),
        (still(0.2), 0, ""),
        (still(0.3), 0, "the close is that of the session before on 302 of 1,000 sessions"),
        (
            times(2, 500),
            0,
            f"the open moved as at a split that was not applied on {IBM.index[500].date()}",
        ),
        (times(3, 200, 400, 600, 800), 3, " and 1 more"),
        (IBM.iloc[:1], 0, ""),
        (still(1.0).tail(3), 0, ""),
    ],
)
def test_bars_set_aside_splits_not_applied_and_a_price_that_stands_still_are_said(
    bars: Bars, aside: int, said: str
) -> None:
    found = suspicions(bars, aside)
    assert (said in found) if said else found == ""


def test_of_a_folder_each_ticker_has_its_own(tmp_path) -> None:
    halved = times(2, 500)
    spikes = np.where(np.arange(len(IBM)) % 97 == 50, 3.0, 1.0)
    spiky = IBM.assign(**{name: IBM[name] * spikes for name in PRICES})
    for name, bars in {"AAA": IBM, "BBB": halved, "CCC": spiky}.items():
        pd.DataFrame(bars).rename_axis("Date").to_csv(tmp_path / f"{name}.csv")
    *_, doubts = read_folder(tmp_path)
    assert doubts["AAA"] == ""
    assert doubts["BBB"].endswith(str(IBM.index[500].date()))
    assert doubts["CCC"] == "10 of 1,000 bars are set aside"
