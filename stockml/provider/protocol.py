"""What a provider of daily prices gives, whoever it is: bars, splits, how much may be asked, refusals by type."""

from datetime import date
from typing import Literal, Protocol, runtime_checkable

from stockml.prices.bars import Split
from stockml.provider.parsing import Daily
from stockml.provider.payload_archive import Payload


@runtime_checkable
class PriceProvider(Protocol):
    """Answers come as they were sent, to be kept, and are read apart; every refusal is a FeedError by its type.

    `name` says where bars came from.  A request raises BadKey, QuotaSpent, PremiumOnly, UnknownSymbol, BadPayload, and
    NoData or RateLimited once retries end; reading raises BadPayload.
    """

    name: str

    def daily(self, ticker: str, outputsize: Literal["compact", "full"] = "compact") -> Payload:
        """The daily bars, raw as traded: the newest 100 sessions or so, or all."""

    def splits(self, ticker: str) -> Payload:
        """All splits."""

    def daily_of(self, payload: Payload, *, last_final: date, today: date) -> Daily:
        """The bars in an answer to `daily`, those after `last_final` left out."""

    def splits_of(self, payload: Payload) -> tuple[Split, ...]:
        """The splits in an answer to `splits`, oldest first."""

    def remaining(self) -> int | None:
        """Requests that the key has left today; None means no cap."""

    def close(self) -> None: ...
