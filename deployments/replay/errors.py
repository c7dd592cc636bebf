"""What the recording does not have."""

from stockml.errors import InvalidInput


class NotRecorded(InvalidInput):
    """The replay feed has no prices of this ticker."""

    ticker: str
    recorded: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"expected one of the recorded tickers {', '.join(self.recorded)}, found {self.ticker}; "
            "set ALPHAVANTAGE_API_KEY to a key of your own for any other"
        )
