"""What any price service is asked: daily bars and splits, kept as they came."""

from abc import ABC, abstractmethod
from datetime import date
from typing import ClassVar, Literal

from stockml.prices.bars import Bars, Split
from stockml.provider.payload_archive import Payload

OutputSize = Literal["compact", "full"]


class PriceProvider(ABC):
    """Answers come as they were sent, to be kept, and are read apart.

    A request raises BadKey, QuotaSpent, PremiumOnly, UnknownSymbol, BadPayload, and NoData or RateLimited once retries
    end; reading raises BadPayload.
    """

    name: ClassVar[str]  # where bars came from

    @abstractmethod
    def daily(self, ticker: str, outputsize: OutputSize = "compact") -> Payload:
        """The daily bars, raw as traded: the newest 100 sessions or so, or all."""

    @abstractmethod
    def splits(self, ticker: str) -> Payload:
        """All splits; one request."""

    @abstractmethod
    def daily_of(self, payload: Payload, *, last_final: date, today: date) -> Bars:
        """The bars in an answer to `daily`, those after `last_final` left out; at least one."""

    @abstractmethod
    def splits_of(self, payload: Payload) -> tuple[Split, ...]:
        """The splits in an answer to `splits`, oldest first."""
