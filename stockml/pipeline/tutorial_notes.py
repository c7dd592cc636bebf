"""What a night of the tutorial's profile says of its data. Apart from the other notes: the log step reads no store."""

from stockml.features.segments import starts
from stockml.prices.series import PriceSeries


def tutorial_goes_on(series: PriceSeries) -> tuple[str, ...]:
    """What the tutorial's profile says of a divided series beside that."""
    crossed = len(starts(series)) > 1
    return ("the tutorial's recipe knows no calendar: its network learns across every hole",) if crossed else ()
