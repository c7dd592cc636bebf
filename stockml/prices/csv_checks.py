"""Whether a file's bars are of days and of one unit: a weekly file, or a step that no share takes, is refused."""

from pathlib import Path

import numpy as np

from stockml.errors import InvalidFile
from stockml.prices.bars import Bars, days_of
from stockml.prices.calendar import Sessions
from stockml.prices.screening import OTHER_UNITS, is_busy
from stockml.storage.arrays import Days

# Of 7,128 files of US shares, funds and warrants to 2017 these refuse 21 for their scale, no share's crash among them,
# and none for being traded rarely.
MORE_MONEY = 2.5  # times the usual: 1.5 on the days of wrong splits, 3 and more on those of crashes
WILD = 1.5  # high over low
A_NEW_LISTING = np.timedelta64(366, "D")  # after a longer hole, any price may be true; and nothing spans the hole
DAILY = 0.1  # share of rows that follow the session just before: a rarely traded share has more, a weekly file none
FEWEST_ROWS = 30  # fewer say little of how far apart a file's rows usually are


def check_scale(path: Path, believed: Bars, sound: Bars) -> None:
    """Refuse a lasting step of the believed price that no share takes but in a rush. Raises InvalidFile.

    sound: the believed bars and the doubtful ones, as a step may begin with one of those.
    """
    days, close = days_of(believed), believed["close"].to_numpy()
    times = close[1:] / close[:-1]
    steps = ((times > OTHER_UNITS) | (times < 1 / OTHER_UNITS)) & (np.diff(days) <= A_NEW_LISTING)
    for at in (np.flatnonzero(steps) + 1).tolist():
        if not _is_rush(sound, int(sound.index.searchsorted(believed.index[at - 1])) + 1):
            found = f"{close[at]:g} on {days[at]}, {times[at - 1]:.4g} times the {close[at - 1]:g} of {days[at - 1]}"
            advice = f"correct the file, or leave out the lines before {days[at]}; nothing was imported"
            raise InvalidFile(str(path), f"expected prices of one scale, found {found}; {advice}")


def _is_rush(bars: Bars, at: int) -> bool:
    """Whether far more shares were traded than usual, and for more money (a split keeps that) or at wild prices."""
    close, volume = bars["close"].to_numpy(), bars["volume"].to_numpy()
    is_wild = bars["high"].iloc[at] > WILD * bars["low"].iloc[at]
    return is_busy(volume, at) and (is_wild or is_busy(close * volume, at, MORE_MONEY))


def check_daily(path: Path, days: Days, sessions: Sessions) -> None:
    """Refuse weekly or monthly bars. Raises InvalidFile."""
    within = np.array(sessions.between(days[0].item(), days[-1].item()), dtype="datetime64[D]")
    apart = np.diff(np.searchsorted(within, days))
    if len(days) >= FEWEST_ROWS and np.mean(apart <= 1) < DAILY:
        usual = f"one every {np.median(apart):.0f} sessions"
        raise InvalidFile(str(path), f"expected daily bars, found {usual}: is it a weekly file? Export daily prices")
