"""What a night says about its data: bars that are set aside, sessions without one, imports that disagree."""

from collections.abc import Sequence
from datetime import date

from stockml.prices.bars import days_of
from stockml.prices.believed import View
from stockml.prices.calendar import Sessions

NEWEST = 100  # sessions that one request covers: what is older is counted, not named
NAMED = 5
LONGEST_CLOSURE = 10  # sessions; what is longer is no closure of the exchange


def data_notes(ticker: str, view: View, sessions: Sessions) -> tuple[str, ...]:
    """Plain sentences, newest matters first named one by one; none for sound data."""
    days = days_of(view.bars)
    recent = days[-min(NEWEST, len(days))].item()
    look = f"`stockml bars {ticker} --holes`"
    notes = [
        f"{bar}; set aside until it is restated, or `stockml bars {ticker} --accept {bar.session}`"
        for bar in view.set_aside
        if bar.session >= recent
    ]
    if older := sum(bar.session < recent for bar in view.set_aside):
        notes.append(f"{older} older bars are set aside: {look}")
    holes = view.holes(sessions)
    if new := [day for day in holes if day >= recent]:
        notes.append(f"no bar of {listed(new)}: asked for again every night")
    if old := [day for day in holes if day < recent]:
        longest = longest_hole(holes, sessions)
        notes.append(f"no bar of {len(old)} older sessions: {look}; `stockml import` can bring them")
        if len(longest) > LONGEST_CLOSURE:
            notes.append(f"windows bridge a hole of {len(longest)} sessions from {longest[0]}")
    if odd := sorted({day for join in view.joins for day in join.odd}):
        notes.append(f"imported history disagrees with the bars on {listed(odd)}; joined by the other sessions' ratio")
    return tuple(notes)


def listed(days: Sequence[date]) -> str:
    """The first five, and how many more."""
    more = f" and {len(days) - NAMED} more" if len(days) > NAMED else ""
    return ", ".join(map(str, days[:NAMED])) + more


def longest_hole(holes: Sequence[date], sessions: Sessions) -> list[date]:
    """The longest of the stretches of neighbouring sessions in `holes`, which ascend."""
    longest: list[date] = []
    stretch: list[date] = []
    for day in holes:
        is_next = bool(stretch) and sessions.after(stretch[-1], 1)[0] == day
        stretch = [*stretch, day] if is_next else [day]
        longest = max(longest, stretch, key=len)
    return longest
