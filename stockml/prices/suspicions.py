"""What speaks against a series of bars as a whole: where it is true, figures from them mean little."""

from stockml.prices.bars import Bars, jumps

MANY = 0.002  # share of bars set aside: few sound files have one in a thousand
FEW = 2  # bars: so many a short file may have
AT_A_STANDSTILL = 0.25  # share of closes that equal the one before: more than any liquid share has
NAMED = 3


def suspicions(believed: Bars, aside: int) -> str:
    """A phrase for each suspicion, "" for none.  aside: how many bars are set aside beside the believed ones."""
    of, days = len(believed) + aside, [*map(str, jumps(believed))]
    still = int((believed["close"].diff() == 0).sum())
    more = f" and {len(days) - NAMED} more" if len(days) > NAMED else ""
    found = {
        f"{aside:,} of {of:,} bars are set aside": aside > max(FEW, MANY * of),
        f"the open moved as at a split that was not applied on {', '.join(days[:NAMED])}{more}": days,
        f"the close is that of the session before on {still:,} of {of:,} sessions": still
        > max(FEW, AT_A_STANDSTILL * of),
    }
    return "; ".join(text for text, applies in found.items() if applies)
